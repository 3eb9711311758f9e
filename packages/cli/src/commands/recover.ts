/** `mirabelle recover`: brings instances that are marked down back as mirrors (Greenplum: gprecoverseg). */
import { Option, type Command } from 'commander'
import type { MessageOf } from '@mirabelle/messages'
import { openCluster, type Cluster } from '../cluster/cluster.ts'
import { requireCoordinator } from '../cluster/coordinators.ts'
import { ensureAgents } from '../cluster/agents.ts'
import { stateFromCoordinator } from '../cluster/state-of.ts'
import { CliError } from '../errors.ts'
import { renderRecover } from '../render/start-report.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import {
  dbids,
  dirOf,
  dirOption,
  jsonOption,
  secondsOption,
  type DirOption,
  type JsonOption,
} from './options.ts'

export type RecoverMode = MessageOf<'cluster.recover'>['mode']

interface RecoverCommand extends DirOption, JsonOption {
  readonly mode: RecoverMode
  readonly full?: boolean
  readonly differential?: boolean
  readonly dbid?: number[]
  readonly timeout: number
}

export const DEFAULT_RECOVER_MS = 300_000
/** The answer comes after the instances' own limit. */
const ANSWER_MARGIN_MS = 60_000

export function addRecover(program: Command): void {
  program
    .command('recover')
    .description('bring down segments back as mirrors')
    .addOption(dirOption())
    .addOption(
      new Option('--mode <mode>', 'how; auto copies only what WAL cannot bring')
        .choices(['auto', 'incremental', 'differential', 'full'])
        .default('auto'),
    )
    .option('--full', 'copy everything anew (--mode full)')
    .option('--differential', 'copy the blocks that differ (--mode differential)')
    .option('--dbid <dbids>', 'only these, separated by commas', dbids)
    .addOption(
      secondsOption('--timeout <seconds>', 'how long to wait until they are in sync', DEFAULT_RECOVER_MS),
    )
    .addOption(jsonOption())
    .action(async (options: RecoverCommand) => {
      const reporter = terminalReporter()
      const cluster = await openCluster(dirOf(options), reporter)
      const results = await recover(cluster, modeOf(options), options.dbid ?? null, options.timeout)
      const report = renderRecover(results, await stateFromCoordinator(cluster))
      process.exitCode = results.length === 0 ? 0 : report.exitStatus
      if (options.json === true) reporter.print(JSON.stringify({ results }))
      else if (results.length === 0) reporter.print('No segments to recover')
      else for (const line of report.lines) reporter.print(line)
    })
}

function modeOf(options: RecoverCommand): RecoverMode {
  if (options.full === true && options.differential === true)
    throw new CliError('give --full or --differential, not both')
  if (options.full === true) return 'full'
  return options.differential === true ? 'differential' : options.mode
}

/** Recovers; an empty list when nothing was down. Throws CliError when no coordinator answers or a dbid is not known. */
export async function recover(
  cluster: Cluster,
  mode: RecoverMode,
  only: readonly number[] | null,
  timeoutMs: number,
): Promise<MessageOf<'cluster.done'>['results']> {
  for (const dbid of only ?? []) {
    if (cluster.folder.row(dbid).content < 0)
      throw new CliError(`dbid ${dbid} belongs to the coordinator: "recover" is for segments`)
  }
  await ensureAgents(cluster)
  const { row } = await requireCoordinator(cluster)
  const state = await stateFromCoordinator(cluster)
  const down = (state?.instances ?? []).filter(
    (one) => one.content >= 0 && one.status === 'd' && (only === null || only.includes(one.dbid)),
  )
  if (down.length === 0) return []
  cluster.reporter.say(
    `Recovering ${down.length} segment(s): ${down.map((one) => `dbid ${one.dbid} (content ${one.content}) on ${one.host}`).join(', ')}`,
  )
  const answer = await cluster.control.ask(
    row.endpoint,
    { type: 'cluster.recover', mode, dbids: only === null ? null : [...only], timeoutMs },
    timeoutMs + ANSWER_MARGIN_MS,
  )
  return answer.results
}
