/** `mirabelle waldump`: the records of an instance's WAL, in pg_waldump's form. */
import { existsSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import { formatLsn, parseLsn, type Lsn } from '@mirabelle/messages'
import { realDisk } from '@mirabelle/runtime'
import {
  DEFAULT_SEGMENT_SIZE,
  dumpWal,
  parseWalFileName,
  rmgrNames,
  type DumpWalOptions,
} from '@mirabelle/wal'
import { CliError } from '../errors.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import { jsonOption, wholeNumber, type JsonOption } from './options.ts'

interface WaldumpCommand extends JsonOption {
  readonly received?: boolean
  readonly timeline?: number
  readonly start?: Lsn
  readonly end?: Lsn
  readonly limit?: number
  readonly rmgr?: string
  readonly xid?: number
}

function lsn(text: string): Lsn {
  try {
    return parseLsn(text)
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
}

function rmgr(name: string): string {
  const isName = (one: string): boolean => one.toLowerCase() === name.toLowerCase()
  if (rmgrNames.some(isName) || /^custom\d+$/i.test(name)) return name
  throw new InvalidArgumentError(`It must be one of ${rmgrNames.join(', ')}.`)
}

export function addWaldump(program: Command): void {
  program
    .command('waldump')
    .description('print the WAL records of a segment file, a folder of them, or the folder of an instance')
    .argument('<path>', 'segment file, folder with segment files, or folder of an instance')
    .option('--received', 'of an instance: the WAL that it received as mirror, instead of the one it wrote')
    .option('-t, --timeline <n>', 'this timeline (default: the newest)', wholeNumber(1, 2 ** 31))
    .option('-s, --start <lsn>', 'records from here on', lsn)
    .option('-e, --end <lsn>', 'records before this position', lsn)
    .option('-n, --limit <n>', 'at most so many', wholeNumber(1, 2 ** 31))
    .option('-r, --rmgr <name>', 'only this resource manager', rmgr)
    .option('-x, --xid <xid>', 'only this transaction', wholeNumber(0, 2 ** 32 - 1))
    .addOption(jsonOption())
    .action(async (path: string, options: WaldumpCommand) => {
      const reporter = terminalReporter()
      const records = dumpWal(dumpOptions(resolve(path), options))
      let count = 0
      for (;;) {
        if (count === options.limit) return
        const next = await records.next()
        if (next.done === true) {
          if (next.value !== undefined)
            throw new CliError(
              `WAL is broken at ${formatLsn(next.value.lsn)}: ${next.value.detail} (${count} records before it)`,
              { exitStatus: 1 },
            )
          if (count === 0) reporter.say(`no records in ${path}`)
          return
        }
        count += 1
        const { line, ...record } = next.value
        reporter.print(
          options.json === true ? JSON.stringify({ ...record, lsn: formatLsn(record.lsn) }) : line,
        )
      }
    })
}

function dumpOptions(path: string, options: WaldumpCommand): DumpWalOptions {
  if (!existsSync(path)) throw new CliError(`${path} does not exist`)
  const filters = {
    disk: realDisk,
    ...(options.rmgr === undefined ? {} : { rmgr: options.rmgr }),
    ...(options.xid === undefined ? {} : { xid: options.xid }),
  }
  if (statSync(path).isFile()) {
    const named = parseWalFileName(basename(path), DEFAULT_SEGMENT_SIZE)
    if (named === undefined) throw new CliError(`${path} is not named like a WAL segment file`)
    const to = Math.min(options.end ?? Infinity, named.start + DEFAULT_SEGMENT_SIZE)
    return {
      ...filters,
      dir: dirname(path),
      timeline: named.timeline,
      from: Math.max(options.start ?? 0, named.start),
      to,
    }
  }
  const written = join(path, 'pgdata', 'pg_wal')
  const dir = existsSync(written) ? (options.received === true ? join(path, 'wal') : written) : path
  return {
    ...filters,
    dir,
    ...(options.timeline === undefined ? {} : { timeline: options.timeline }),
    ...(options.start === undefined ? {} : { from: options.start }),
    ...(options.end === undefined ? {} : { to: options.end }),
  }
}
