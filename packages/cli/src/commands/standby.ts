/** `mirabelle standby activate`: the standby coordinator takes over (Greenplum: gpactivatestandby). */
import type { Command } from 'commander'
import { activateStandby } from '../cluster/activate-standby.ts'
import { openCluster } from '../cluster/cluster.ts'
import { howToConnect } from '../cluster/connect.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import { dirOf, dirOption, jsonOption, type DirOption, type JsonOption } from './options.ts'

interface ActivateCommand extends DirOption, JsonOption {
  readonly force?: boolean
}

export function addStandby(program: Command): void {
  program
    .command('standby')
    .description('the standby coordinator')
    .command('activate')
    .description('let the standby coordinator take over; refused while the coordinator answers')
    .addOption(dirOption())
    .option('--force', 'even when the coordinator answers, or the standby is known to lack changes')
    .addOption(jsonOption())
    .action(async (options: ActivateCommand) => {
      const reporter = terminalReporter()
      const cluster = await openCluster(dirOf(options), reporter)
      const report = await activateStandby(cluster, options.force === true)
      if (options.json === true) {
        reporter.print(JSON.stringify(report))
        return
      }
      reporter.print(
        report.wasActive
          ? `dbid ${report.dbid} acts as coordinator already (epoch ${report.epoch})`
          : `The standby coordinator dbid ${report.dbid} has taken over in ${report.elapsedMs} ms: epoch ${report.epoch}, timeline ${report.timeline}`,
      )
      for (const line of howToConnect(cluster.folder)) reporter.print(line)
      reporter.print('The cluster has no standby coordinator now')
    })
}
