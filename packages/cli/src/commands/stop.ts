/** `mirabelle stop`: an orderly end, also when the coordinator is dead. */
import type { Command } from 'commander'
import { openCluster } from '../cluster/cluster.ts'
import { stopCluster } from '../cluster/stop-cluster.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import { drainOption, stopModeOption, stopOneHost, type StopHostCommand } from './host.ts'
import { dirOf, dirOption, jsonOption, secondsOption } from './options.ts'
import { laneWaitOption } from './rebalance.ts'

interface StopCommand extends StopHostCommand {
  readonly timeout: number
  readonly host?: string
}

export const DEFAULT_STOP_MS = 120_000

export function addStop(program: Command): void {
  program
    .command('stop')
    .description('stop a cluster')
    .addOption(dirOption())
    .option(
      '--host <host>',
      'only the instances of this host; refused unless each has a copy in sync elsewhere',
    )
    .addOption(stopModeOption())
    .addOption(drainOption())
    .addOption(laneWaitOption())
    .addOption(
      secondsOption(
        '--timeout <seconds>',
        'how long to wait for the coordinator to stop the cluster',
        DEFAULT_STOP_MS,
      ),
    )
    .addOption(jsonOption())
    .action(async (options: StopCommand) => {
      if (options.host !== undefined) return stopOneHost(options.host, options)
      const reporter = terminalReporter()
      const cluster = await openCluster(dirOf(options), reporter)
      const { stopped, failures } = await stopCluster(cluster, options.mode, options.timeout)
      process.exitCode = failures.length === 0 ? 0 : stopped > failures.length ? 1 : 2
      if (options.json === true) {
        reporter.print(JSON.stringify({ stopped, failures }))
        return
      }
      for (const failure of failures) reporter.print(`Not stopped: ${failure}`)
      if (failures.length === 0)
        reporter.print(
          stopped === 0
            ? 'The cluster was not running'
            : `Database successfully shut down (${stopped} instances)`,
        )
    })
}
