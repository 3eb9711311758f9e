/** `mirabelle recover`: brings instances that are marked down back as mirrors, in place or at a new one (Greenplum: gprecoverseg). */
import { readFile } from 'node:fs/promises'
import { Option, type Command } from 'commander'
import type { ActionResult, MirrorMove, MirrorStep } from '@mirabelle/messages'
import { openCluster, type Cluster } from '../cluster/cluster.ts'
import type { Catalog } from '../cluster/describe-catalog.ts'
import { discardDiverged } from '../cluster/diverged.ts'
import {
  DEFAULT_PARALLEL,
  DEFAULT_STALL_MS,
  makeSteps,
  planMoves,
  readCatalog,
  revive,
  type MirrorLimits,
  type RecoverMode,
} from '../cluster/mirror-admin.ts'
import { placesOf } from '../cluster/places.ts'
import { parseRecoverFile, type MirrorFile } from '../describe/mirror-file.ts'
import { CliError } from '../errors.ts'
import { renderPlan } from '../render/mirror-plan.ts'
import { renderRecover } from '../render/start-report.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import {
  contents,
  dbids,
  dirOf,
  dirOption,
  jsonOption,
  megabytesASecond,
  secondsOption,
  wholeNumber,
  type DirOption,
  type JsonOption,
} from './options.ts'

export type { RecoverMode } from '../cluster/mirror-admin.ts'

export interface RecoverOptions {
  readonly mode: RecoverMode
  /** Only these; null = all that are down. */
  readonly only: readonly number[] | null
  /** To free places on this host; undefined = in place. */
  readonly to?: string | undefined
  /** Contents for which a copy that lacks transactions may take over. */
  readonly acceptDataLoss?: readonly number[] | undefined
  /** What a file says instead. */
  readonly file?: MirrorFile | undefined
}

interface RecoverCommand extends DirOption, JsonOption {
  readonly mode: RecoverMode
  readonly full?: boolean
  readonly differential?: boolean
  readonly dbid?: number[]
  readonly to?: string
  readonly input?: string
  readonly dryRun?: boolean
  readonly parallel: number
  readonly maxRate: number | null
  readonly discardDiverged?: boolean
  readonly acceptDataLoss?: number[]
  readonly timeout: number
}

export function addRecover(program: Command): void {
  program
    .command('recover')
    .description('bring down segments back as mirrors, in place or on another host')
    .addOption(dirOption())
    .addOption(
      new Option('--mode <mode>', 'how; auto copies only what WAL cannot bring')
        .choices(['auto', 'incremental', 'differential', 'full'])
        .default('auto'),
    )
    .option('--full', 'copy everything anew (--mode full)')
    .option('--differential', 'copy the blocks that differ (--mode differential)')
    .option('--dbid <dbids>', 'only these, separated by commas', dbids)
    .option('--to <host>', 'to new places on this host; the row moves when the copy is complete')
    .option(
      '-i, --input <file>',
      'what and where: lines "address|port|directory", with a second such group for a new place',
    )
    .option(
      '--accept-data-loss <contents>',
      'let a copy that lacks transactions take over, for these contents, when the one that has them is lost',
      contents,
    )
    .option('--dry-run', 'print what would be done for each segment, and do nothing')
    .option(
      '--discard-diverged',
      'afterwards delete WAL that was put aside because the primary does not have it',
    )
    .addOption(parallelOption())
    .addOption(maxRateOption())
    .addOption(stallOption())
    .addOption(jsonOption())
    .action(runRecover)
}

/** Options of everything that copies. */
export const parallelOption = (): Option =>
  new Option('--parallel <n>', 'segments at a time').argParser(wholeNumber(1, 1000)).default(DEFAULT_PARALLEL)
export const maxRateOption = (): Option =>
  new Option('--max-rate <MB/s>', 'each copy reads at most so much of its primary (default: no limit)')
    .argParser(megabytesASecond)
    .default(null, 'none')
export const stallOption = (): Option =>
  secondsOption('--timeout <seconds>', 'give up what makes no progress for so long', DEFAULT_STALL_MS)

async function runRecover(options: RecoverCommand): Promise<void> {
  const reporter = terminalReporter()
  const cluster = await openCluster(dirOf(options), reporter)
  const wanted: RecoverOptions = {
    mode: modeOf(options),
    only: options.dbid ?? null,
    to: options.to,
    file: options.input === undefined ? undefined : await mirrorFile(options.input),
  }
  refuseContradictions(options)
  cluster.folder.checkContents(options.acceptDataLoss ?? [])
  const look = options.dryRun === true
  const revived = await revive(cluster, options.acceptDataLoss ?? [], limitsOf(options), look)
  const steps = await planRecovery(cluster, wanted, look)
  if (look) {
    printPlan(steps, options, (line) => reporter.print(line), { revivals: revived })
    return
  }
  const recovered = steps.length === 0 ? [] : await recoverSteps(cluster, steps, limitsOf(options))
  const results = [...revived, ...recovered]
  const diverged = options.discardDiverged === true ? await discardDiverged(cluster, wanted.only) : []
  const report = renderRecover(results, await placesOf(cluster, results))
  const left = diverged.some(({ outcome }) => outcome === 'failed')
  process.exitCode =
    results.length === 0 ? (left ? 2 : 0) : report.exitStatus === 0 && left ? 1 : report.exitStatus
  if (options.json === true) {
    reporter.print(JSON.stringify({ results, ...(options.discardDiverged === true ? { diverged } : {}) }))
    return
  }
  for (const line of results.length === 0 ? ['No segments to recover'] : report.lines) reporter.print(line)
  for (const one of diverged) reporter.print(`dbid ${one.dbid}: ${one.message}`)
}

export function limitsOf(options: {
  readonly parallel: number
  readonly maxRate: number | null
  readonly timeout: number
}): MirrorLimits {
  return { parallel: options.parallel, maxRate: options.maxRate, stallMs: Math.round(options.timeout) }
}

/** Prints a plan and sets the exit status. `revivals`: what would be done before about contents that nobody serves. */
export function printPlan(
  steps: readonly MirrorStep[],
  options: JsonOption,
  print: (line: string) => void,
  {
    nothing = 'No segments to recover',
    revivals = [],
  }: { readonly nothing?: string; readonly revivals?: readonly ActionResult[] } = {},
): void {
  const report = renderPlan(steps, revivals)
  process.exitCode = report.exitStatus
  if (options.json === true) print(JSON.stringify(revivals.length === 0 ? { steps } : { steps, revivals }))
  else if (steps.length === 0 && revivals.length === 0) print(nothing)
  else for (const line of report.lines) print(line)
}

/** Reads an input file. Throws CliError when it cannot be read. */
export async function mirrorFile(path: string): Promise<MirrorFile> {
  try {
    return { path, text: await readFile(path, 'utf8') }
  } catch (error) {
    throw new CliError(`${path} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

function modeOf(options: RecoverCommand): RecoverMode {
  if (options.full === true && options.differential === true)
    throw new CliError('give --full or --differential, not both')
  if (options.full === true) return 'full'
  return options.differential === true ? 'differential' : options.mode
}

function refuseContradictions(options: RecoverCommand): void {
  if (options.input !== undefined && (options.to !== undefined || options.dbid !== undefined))
    throw new CliError('give -i without --to and --dbid: the file says what is recovered and where')
  const mode = modeOf(options)
  if (options.to !== undefined && (mode === 'incremental' || mode === 'differential'))
    throw new CliError(`a segment that gets a new place is copied whole: leave --mode ${mode} out`)
}

/** What would be done; an empty list when nothing is down. Throws CliError when no coordinator answers or a dbid is not known. */
export async function planRecovery(
  cluster: Cluster,
  options: RecoverOptions,
  look = false,
): Promise<readonly MirrorStep[]> {
  const catalog = await readCatalog(cluster)
  for (const dbid of options.only ?? []) {
    const row = catalog.rows.find((one) => one.dbid === dbid)
    if (row === undefined) throw new CliError(`there is no dbid ${dbid} in the catalog`)
    if (row.content < 0)
      throw new CliError(`dbid ${dbid} belongs to the coordinator: "recover" is for segments`)
  }
  const moves = movesOf(cluster, catalog, options)
  if (moves.length === 0) return []
  return planMoves(cluster, moves, { mode: options.mode, look })
}

function movesOf(cluster: Cluster, { rows }: Catalog, options: RecoverOptions): MirrorMove[] {
  const { file, to, only } = options
  if (file !== undefined) return parseRecoverFile(file, { rows, hosts: cluster.folder.file.hosts })
  if (to !== undefined) cluster.folder.host(to)
  return rows
    .filter((row) => row.content >= 0 && row.status === 'd' && row.role === 'm')
    .filter(({ dbid }) => only === null || only.includes(dbid))
    .map(({ content, dbid, hostname }) => ({
      kind: 'recover',
      content,
      dbid,
      // Also one that an interrupted run has moved there already.
      to:
        to === undefined || to === hostname
          ? null
          : { hostname: to, address: null, port: null, datadir: null },
      mode: null,
    }))
}

/** Carries the steps of a recovery out. */
export function recoverSteps(
  cluster: Cluster,
  steps: readonly MirrorStep[],
  limits: MirrorLimits,
): Promise<readonly ActionResult[]> {
  const names = steps.map(({ row, content }) => `dbid ${row.dbid} (content ${content}) on ${row.hostname}`)
  for (const { warning } of steps) if (warning !== null) cluster.reporter.say(`Warning: ${warning}`)
  cluster.reporter.say(`Recovering ${steps.length} segment(s): ${names.join(', ')}`)
  return makeSteps(cluster, steps, limits)
}

/** Recovers; an empty list when nothing was down. Throws CliError when no coordinator answers or a dbid is not known. */
export async function recover(
  cluster: Cluster,
  options: RecoverOptions,
  limits: MirrorLimits,
): Promise<readonly ActionResult[]> {
  const revived = await revive(cluster, options.acceptDataLoss ?? [], limits)
  const steps = await planRecovery(cluster, options)
  return steps.length === 0 ? revived : [...revived, ...(await recoverSteps(cluster, steps, limits))]
}
