/** `mirabelle host stop | start | drain`: whole hosts, for maintenance (Greenplum: gpstop --host). */
import { Option, type Command } from 'commander'
import type { ActionResult } from '@mirabelle/messages'
import { openCluster, type Cluster } from '../cluster/cluster.ts'
import { drainHost, startHost, stopHost } from '../cluster/host-admin.ts'
import type { StopMode } from '../cluster/stop-cluster.ts'
import { stateFromCoordinator } from '../cluster/state-of.ts'
import { renderHost } from '../render/start-report.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import { dirOf, dirOption, jsonOption, secondsOption, type DirOption, type JsonOption } from './options.ts'
import { DEFAULT_REBALANCE_MS, inSyncOption, laneWaitOption } from './rebalance.ts'

interface Common extends DirOption, JsonOption {}

export function addHost(program: Command): void {
  const host = program.command('host').description('stop, start or empty one host of the cluster')
  host
    .command('drain')
    .argument('<host>')
    .description('let other hosts act as primary for its segments; statements wait for a moment, none fails')
    .addOption(dirOption())
    .addOption(laneWaitOption())
    .addOption(inSyncOption())
    .addOption(jsonOption())
    .action((name: string, options: Common & { readonly wait: number; readonly timeout: number }) =>
      act(options, `No segments act as primary on ${name}`, (cluster) =>
        drainHost(cluster, name, { laneTimeoutMs: options.wait, timeoutMs: options.timeout }),
      ),
    )
  host
    .command('stop')
    .argument('<host>')
    .description('stop the instances of a host; refused unless each has a copy in sync elsewhere')
    .addOption(dirOption())
    .addOption(stopModeOption())
    .addOption(drainOption())
    .addOption(laneWaitOption())
    .addOption(jsonOption())
    .action((name: string, options: StopHostCommand) => stopOneHost(name, options))
  host
    .command('start')
    .argument('<host>')
    .description('start the instances of a host and bring back in sync what was down')
    .addOption(dirOption())
    .addOption(
      secondsOption(
        '--timeout <seconds>',
        'give up what makes no progress for so long',
        DEFAULT_REBALANCE_MS,
      ),
    )
    .addOption(jsonOption())
    .action((name: string, options: Common & { readonly timeout: number }) =>
      act(options, `Nothing on ${name} was down`, (cluster) => startHost(cluster, name, options.timeout)),
    )
}

export const stopModeOption = (): Option =>
  new Option('--mode <mode>', 'smart waits for clients, fast ends them, immediate is a crash')
    .choices(['smart', 'fast', 'immediate'])
    .default('fast')

export const drainOption = (): Option =>
  new Option(
    '--drain',
    'of a host: let others act as primary for its segments first; nothing is stopped when one cannot',
  )

export interface StopHostCommand extends Common {
  readonly mode: StopMode
  readonly drain?: boolean
  readonly wait: number
}

/** For `host stop H` and `stop --host H`. */
export function stopOneHost(name: string, options: StopHostCommand): Promise<void> {
  const { mode, wait } = options
  const drain = options.drain === true ? { laneTimeoutMs: wait, timeoutMs: DEFAULT_REBALANCE_MS } : null
  return act(options, `Nothing runs on ${name}`, (cluster) => stopHost(cluster, name, { mode, drain }))
}

async function act(
  options: Common,
  nothing: string,
  work: (cluster: Cluster) => Promise<readonly ActionResult[]>,
): Promise<void> {
  const reporter = terminalReporter()
  const cluster = await openCluster(dirOf(options), reporter)
  const results = await work(cluster)
  const report = renderHost(results, (await stateFromCoordinator(cluster))?.instances ?? [])
  process.exitCode = report.exitStatus
  if (options.json === true) reporter.print(JSON.stringify({ results }))
  else for (const line of results.length === 0 ? [nothing] : report.lines) reporter.print(line)
}
