/** `mirabelle rebalance`: pairs get their preferred roles back without a failing statement (Greenplum: gprecoverseg -r). */
import type { Command, Option } from 'commander'
import type { MessageOf } from '@mirabelle/messages'
import { openCluster, type Cluster } from '../cluster/cluster.ts'
import { requireCoordinator } from '../cluster/coordinators.ts'
import { ensureAgentsOrSay } from '../cluster/agents.ts'
import { placesOf } from '../cluster/places.ts'
import { renderRebalance } from '../render/start-report.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import { dirOf, dirOption, jsonOption, secondsOption, type DirOption, type JsonOption } from './options.ts'

interface RebalanceCommand extends DirOption, JsonOption {
  readonly wait: number
  readonly timeout: number
}

export const DEFAULT_LANE_MS = 10_000
export const DEFAULT_REBALANCE_MS = 120_000
/** A switchover's own limits, and the answer after it. */
const ANSWER_MARGIN_MS = 120_000

/** `--wait`, ms: of every command that switches roles over. */
export function laneWaitOption(): Option {
  return secondsOption(
    '--wait <seconds>',
    'how long open transactions may keep the switchover of a segment waiting before it is skipped',
    DEFAULT_LANE_MS,
  )
}

/** `--timeout`, ms: of the same commands. */
export function inSyncOption(): Option {
  return secondsOption(
    '--timeout <seconds>',
    'how long to wait until the pairs are in sync',
    DEFAULT_REBALANCE_MS,
  )
}

export function addRebalance(program: Command): void {
  program
    .command('rebalance')
    .description('give segments their preferred roles back; statements wait for a moment, none fails')
    .addOption(dirOption())
    .addOption(laneWaitOption())
    .addOption(inSyncOption())
    .addOption(jsonOption())
    .action(async (options: RebalanceCommand) => {
      const reporter = terminalReporter()
      const cluster = await openCluster(dirOf(options), reporter)
      const results = await rebalance(cluster, { laneTimeoutMs: options.wait, timeoutMs: options.timeout })
      const report = renderRebalance(results, await placesOf(cluster, results))
      process.exitCode = report.exitStatus
      if (options.json === true) reporter.print(JSON.stringify({ results }))
      else for (const line of report.lines) reporter.print(line)
    })
}

/** Rebalances; an empty list when every pair is in its preferred roles. Throws CliError when no coordinator answers. */
export async function rebalance(
  cluster: Cluster,
  limits: { readonly laneTimeoutMs: number; readonly timeoutMs: number },
): Promise<MessageOf<'cluster.done'>['results']> {
  const acting = requireCoordinator(cluster)
  acting.catch(() => undefined) // told when the agents are there
  await ensureAgentsOrSay(cluster)
  const { row } = await acting
  const contents = cluster.folder.file.rows.filter(({ content, role }) => content >= 0 && role === 'p').length
  const answer = await cluster.control.ask(
    row.endpoint,
    {
      type: 'cluster.rebalance',
      laneTimeoutMs: Math.round(limits.laneTimeoutMs),
      timeoutMs: Math.round(limits.timeoutMs),
    },
    limits.timeoutMs + contents * limits.laneTimeoutMs + ANSWER_MARGIN_MS,
  )
  return answer.results
}
