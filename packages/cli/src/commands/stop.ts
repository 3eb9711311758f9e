/** `mirabelle stop`: an orderly end, also when the coordinator is dead. */
import { Option, type Command } from 'commander'
import { openCluster } from '../cluster/cluster.ts'
import { stopCluster, type StopMode } from '../cluster/stop-cluster.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import { dirOf, dirOption, jsonOption, secondsOption, type DirOption, type JsonOption } from './options.ts'

interface StopCommand extends DirOption, JsonOption {
  readonly mode: StopMode
  readonly timeout: number
}

export const DEFAULT_STOP_MS = 120_000

export function addStop(program: Command): void {
  program
    .command('stop')
    .description('stop a cluster')
    .addOption(dirOption())
    .addOption(
      new Option('--mode <mode>', 'smart waits for clients, fast ends them, immediate is a crash')
        .choices(['smart', 'fast', 'immediate'])
        .default('fast'),
    )
    .addOption(
      secondsOption(
        '--timeout <seconds>',
        'how long to wait for the coordinator to stop the cluster',
        DEFAULT_STOP_MS,
      ),
    )
    .addOption(jsonOption())
    .action(async (options: StopCommand) => {
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
