/** `mirabelle state`: how the cluster is, in gpstate's shapes or as JSON. */
import type { Command } from 'commander'
import type { ClusterState } from '@mirabelle/messages'
import { openCluster, type Cluster } from '../cluster/cluster.ts'
import { headlessState, stateFromCoordinator, type HeadlessState } from '../cluster/state-of.ts'
import { renderErrors } from '../render/errors-report.ts'
import { renderHeadless } from '../render/headless.ts'
import type { Report } from '../render/lines.ts'
import { renderMirrors, renderPairs } from '../render/mirrors.ts'
import { renderSegments } from '../render/segments.ts'
import { renderStandby } from '../render/standby.ts'
import { renderPorts } from '../render/ports.ts'
import { renderVersions } from '../render/versions.ts'
import { renderQuick, renderSummary } from '../render/summary.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import { watch, watchHead } from '../terminal/watch.ts'
import { sentenceOf } from '../errors.ts'
import {
  dirOf,
  dirOption,
  jsonOption,
  secondsOption,
  wholeNumber,
  type DirOption,
  type JsonOption,
} from './options.ts'

const WATCH_EVERY_MS = 2_000

interface StateCommand extends DirOption, JsonOption {
  readonly errors?: boolean
  readonly segments?: boolean
  readonly mirrors?: boolean
  readonly pairs?: boolean
  readonly standby?: boolean
  readonly quick?: boolean
  readonly ports?: boolean
  readonly brief?: boolean
  readonly versions?: boolean
  readonly watch?: boolean
  readonly interval: number
  readonly count?: number
}

export function addState(program: Command): void {
  program
    .command('state')
    .description('show how the cluster is')
    .addOption(dirOption())
    .option('-b, --brief', 'the summary (default)')
    .option('-e, --errors', 'only what is not as it should be')
    .option('-s, --segments', 'everything about every instance')
    .option('-m, --mirrors', 'the mirrors')
    .option('-c, --pairs', 'primaries with their mirrors')
    .option('-f, --standby', 'the standby coordinator')
    .option('-Q, --quick', 'from the catalog alone')
    .option('-p, --ports', 'the ports')
    .option('-i, --versions', 'the software that each instance runs')
    .option('-w, --watch', 'show it again and again, until Ctrl-C')
    .addOption(secondsOption('--interval <seconds>', 'with --watch: time between two looks', WATCH_EVERY_MS))
    .option('--count <n>', 'with --watch: end after so many looks', wholeNumber(1, 1_000_000))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExit status: 0 shown, 1 something is wrong (-e -s -m -c -f -i), 2 no coordinator answers. --watch --json prints an object a line.',
    )
    .action(async (options: StateCommand) => {
      const reporter = terminalReporter()
      const cluster = await openCluster(dirOf(options), reporter)
      if (options.watch !== true) return show(cluster, options)
      const { interval, count } = options
      await watch(cluster.clock, { intervalMs: interval, count }, async () => {
        if (options.json !== true)
          reporter.print(watchHead(cluster.clock.now(), interval, process.stdout.isTTY))
        await show(cluster, options).catch((error: unknown) => {
          // A coordinator that dies between two questions is looked for again by the next look.
          process.exitCode = 2
          reporter.print(
            options.json === true ? JSON.stringify({ error: sentenceOf(error) }) : sentenceOf(error),
          )
        })
      })
    })
}

/** One look. */
async function show(cluster: Cluster, options: StateCommand): Promise<void> {
  const { reporter } = cluster
  const state = await stateFromCoordinator(cluster)
  const known = state ?? (await headlessState(cluster))
  const report = state === undefined ? renderHeadless(known as HeadlessState) : render(state, options)
  process.exitCode = options.json === true && state !== undefined ? 0 : report.exitStatus
  if (options.json === true) reporter.print(JSON.stringify(known, null, options.watch === true ? 0 : 2))
  else for (const line of report.lines) reporter.print(line)
}

/** The reports that were asked for, one after the other; the summary when none was. */
export function render(
  state: ClusterState,
  options: Omit<StateCommand, 'dir' | 'json' | 'watch' | 'interval' | 'count'>,
): Report {
  const reports = [
    ...(options.brief === true ? [renderSummary(state)] : []),
    ...(options.errors === true ? [renderErrors(state)] : []),
    ...(options.segments === true ? [renderSegments(state)] : []),
    ...(options.mirrors === true ? [renderMirrors(state)] : []),
    ...(options.pairs === true ? [renderPairs(state)] : []),
    ...(options.standby === true ? [renderStandby(state)] : []),
    ...(options.quick === true ? [renderQuick(state)] : []),
    ...(options.ports === true ? [renderPorts(state)] : []),
    ...(options.versions === true ? [renderVersions(state)] : []),
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
