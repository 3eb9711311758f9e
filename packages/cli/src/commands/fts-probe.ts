/** `mirabelle fts-probe`: an FTS cycle now. */
import type { Command } from 'commander'
import { openCluster } from '../cluster/cluster.ts'
import { requireCoordinator } from '../cluster/coordinators.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import { dirOf, dirOption, jsonOption, type DirOption, type JsonOption } from './options.ts'

const PROBE_MS = 60_000

export function addFtsProbe(program: Command): void {
  program
    .command('fts-probe')
    .description('probe all segments now and wait for the end of the cycle')
    .addOption(dirOption())
    .addOption(jsonOption())
    .action(async (options: DirOption & JsonOption) => {
      const reporter = terminalReporter()
      const cluster = await openCluster(dirOf(options), reporter)
      const { row } = await requireCoordinator(cluster)
      await cluster.control.ask(row.endpoint, { type: 'cluster.probe' }, PROBE_MS)
      reporter.print(options.json === true ? JSON.stringify({ probed: true }) : 'All segments were probed')
    })
}
