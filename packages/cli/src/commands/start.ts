/** `mirabelle start`: agents, coordinator, and everything that the catalog says is up. */
import type { Command } from 'commander'
import { openCluster, type Cluster } from '../cluster/cluster.ts'
import { startCluster } from '../cluster/start-cluster.ts'
import { startOne } from '../cluster/start-instance.ts'
import { endAgents } from '../cluster/agents.ts'
import { howToConnect } from '../cluster/connect.ts'
import { findCoordinator } from '../cluster/coordinators.ts'
import { CliError } from '../errors.ts'
import { renderStart } from '../render/start-report.ts'
import { problemLines } from '../render/summary.ts'
import { onInterrupt } from '../terminal/interrupt.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import {
  contentsOfAll,
  dirOf,
  dirOption,
  jsonOption,
  secondsOption,
  wholeNumber,
  type DirOption,
  type JsonOption,
} from './options.ts'

interface StartCommand extends DirOption, JsonOption {
  readonly timeout: number
  readonly syncTimeout: number
  readonly dbid?: number
  readonly acceptDataLoss?: number[]
}

export const DEFAULT_START_MS = 120_000
export const DEFAULT_SYNC_MS = 20_000

export function addStart(program: Command): void {
  program
    .command('start')
    .description('start a cluster; what runs already is left alone')
    .addOption(dirOption())
    .option('--dbid <dbid>', 'only this instance', wholeNumber(1, 32_767))
    .addOption(secondsOption('--timeout <seconds>', 'how long to wait until it serves', DEFAULT_START_MS))
    .addOption(
      secondsOption(
        '--sync-timeout <seconds>',
        'how long to wait after that for mirrors to be in sync',
        DEFAULT_SYNC_MS,
      ),
    )
    .option(
      '--accept-data-loss <contents>',
      'let a copy that lacks transactions take over, for these contents, when the one that has them is lost; -1: the old coordinator, when a standby whose activation has begun is lost',
      contentsOfAll,
    )
    .addOption(jsonOption())
    .action(async (options: StartCommand) => {
      const reporter = terminalReporter()
      const cluster = await openCluster(dirOf(options), reporter)
      cluster.folder.checkContents(options.acceptDataLoss ?? [])
      if (options.dbid !== undefined) return startInstance(cluster, options.dbid, options)
      const takeBack = await undoWhenInterrupted(cluster)
      const report = await startCluster(cluster, {
        timeoutMs: options.timeout,
        syncTimeoutMs: options.syncTimeout,
        acceptDataLoss: options.acceptDataLoss,
      })
      takeBack()
      const rendered = renderStart(report.results)
      process.exitCode = rendered.exitStatus
      if (options.json === true) {
        reporter.print(
          JSON.stringify({
            alreadyRunning: report.wasRunning,
            results: report.results,
            cluster: report.state.cluster,
          }),
        )
        return
      }
      for (const line of rendered.lines) reporter.print(line)
      reporter.print(report.wasRunning ? 'The cluster was running already' : 'Database successfully started')
      for (const line of report.state.cluster.healthy ? [] : problemLines(report.state)) reporter.print(line)
      for (const line of howToConnect(cluster.folder)) reporter.print(line)
    })
}

async function startInstance(
  cluster: Cluster,
  dbid: number,
  { timeout, json }: Pick<StartCommand, 'timeout' | 'json'>,
): Promise<void> {
  const failure = await startOne(cluster, dbid, timeout)
  if (failure !== undefined) throw new CliError(`dbid ${dbid} could not be started: ${failure}`)
  cluster.reporter.print(json === true ? JSON.stringify({ dbid, started: true }) : `dbid ${dbid} is up`)
}

/** A start that is interrupted leaves nothing half-started behind, unless the cluster ran before. */
async function undoWhenInterrupted(cluster: Cluster): Promise<() => void> {
  if (!cluster.folder.file.local || (await findCoordinator(cluster)) !== undefined) return () => undefined
  return onInterrupt(() => {
    cluster.reporter.say('Interrupted: stopping what was started')
    return endAgents(cluster, cluster.folder.file.hosts, 'fast')
  })
}
