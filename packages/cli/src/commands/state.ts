/** `mirabelle state`: how the cluster is, in gpstate's shapes or as JSON. */
import type { Command } from 'commander'
import type { ClusterState } from '@mirabelle/messages'
import { openCluster } from '../cluster/cluster.ts'
import { headlessState, stateFromCoordinator } from '../cluster/state-of.ts'
import { renderErrors } from '../render/errors-report.ts'
import { renderHeadless } from '../render/headless.ts'
import type { Report } from '../render/lines.ts'
import { renderMirrors, renderPairs } from '../render/mirrors.ts'
import { renderSegments } from '../render/segments.ts'
import { renderStandby } from '../render/standby.ts'
import { renderQuick, renderSummary } from '../render/summary.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import { dirOf, dirOption, jsonOption, type DirOption, type JsonOption } from './options.ts'

interface StateCommand extends DirOption, JsonOption {
  readonly errors?: boolean
  readonly segments?: boolean
  readonly mirrors?: boolean
  readonly pairs?: boolean
  readonly standby?: boolean
  readonly quick?: boolean
}

export function addState(program: Command): void {
  program
    .command('state')
    .description('show how the cluster is')
    .addOption(dirOption())
    .option('-e, --errors', 'only what is not as it should be')
    .option('-s, --segments', 'everything about every instance')
    .option('-m, --mirrors', 'the mirrors')
    .option('-c, --pairs', 'primaries with their mirrors')
    .option('-f, --standby', 'the standby coordinator')
    .option('-Q, --quick', 'from the catalog alone')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExit status: 0 shown, 1 something is wrong (-e -s -m -c -f), 2 no coordinator answers.',
    )
    .action(async (options: StateCommand) => {
      const reporter = terminalReporter()
      const cluster = await openCluster(dirOf(options), reporter)
      const state = await stateFromCoordinator(cluster)
      if (state === undefined) {
        const headless = await headlessState(cluster)
        process.exitCode = 2
        if (options.json === true) reporter.print(JSON.stringify(headless, null, 2))
        else for (const line of renderHeadless(headless).lines) reporter.print(line)
        return
      }
      if (options.json === true) {
        reporter.print(JSON.stringify(state, null, 2))
        return
      }
      const report = render(state, options)
      process.exitCode = report.exitStatus
      for (const line of report.lines) reporter.print(line)
    })
}

/** The reports that were asked for, one after the other; the summary when none was. */
export function render(state: ClusterState, options: Omit<StateCommand, 'dir' | 'json'>): Report {
  const reports = [
    ...(options.errors === true ? [renderErrors(state)] : []),
    ...(options.segments === true ? [renderSegments(state)] : []),
    ...(options.mirrors === true ? [renderMirrors(state)] : []),
    ...(options.pairs === true ? [renderPairs(state)] : []),
    ...(options.standby === true ? [renderStandby(state)] : []),
    ...(options.quick === true ? [renderQuick(state)] : []),
  ]
  if (reports.length === 0) return renderSummary(state)
  return {
    lines: reports.flatMap(({ lines }) => lines),
    exitStatus: reports.reduce<Report['exitStatus']>(
      (worst, one) => (one.exitStatus > worst ? one.exitStatus : worst),
      0,
    ),
  }
}
