/** `mirabelle quickstart` (`npm start`): a cluster on this machine that runs until Ctrl-C. */
import type { Command } from 'commander'
import { withFolder, type Cluster } from '../cluster/cluster.ts'
import { howToConnect } from '../cluster/connect.ts'
import { startCluster } from '../cluster/start-cluster.ts'
import { stateFromCoordinator } from '../cluster/state-of.ts'
import { stopCluster } from '../cluster/stop-cluster.ts'
import { sentenceOf } from '../errors.ts'
import { ClusterFolder } from '../folder/cluster-folder.ts'
import { onInterrupt } from '../terminal/interrupt.ts'
import { terminalReporter, type Reporter } from '../terminal/reporter.ts'
import { delay } from '@mirabelle/runtime'
import { init } from './init.ts'
import { dirOf, dirOption, wholeNumber, type DirOption } from './options.ts'
import { DEFAULT_START_MS, DEFAULT_SYNC_MS } from './start.ts'
import { DEFAULT_STOP_MS } from './stop.ts'

const WATCH_EVERY_MS = 2_000

interface QuickstartCommand extends DirOption {
  readonly port?: number
  readonly segments: number
}

export function addQuickstart(program: Command): void {
  program
    .command('quickstart')
    .description('make a cluster on this machine the first time, start it, and keep it until Ctrl-C')
    .addOption(dirOption())
    .option('--port <port>', "the coordinator's port for clients, the first time", wholeNumber(1, 65_535))
    .option('--segments <n>', 'primaries in all, the first time', wholeNumber(1, 1000), 2)
    .action(async (options: QuickstartCommand) => {
      const reporter = terminalReporter()
      const dir = dirOf(options)
      // Before anything runs. What an interrupted init has begun it takes back itself.
      onInterrupt(() => stopWhatRuns(dir, reporter))
      let folder = await ClusterFolder.find(dir)
      if (folder?.file.progress !== 'ready') {
        const { segments, port } = options
        const asked = port === undefined ? {} : { port }
        folder = await init(
          dir,
          { hosts: 3, segments, mirroring: 'group', standby: true, set: {}, ...asked },
          reporter,
          { thenStarts: true },
        )
      }
      const cluster = await withFolder(folder, reporter)
      const { state } = await startCluster(cluster, {
        timeoutMs: DEFAULT_START_MS,
        syncTimeoutMs: DEFAULT_SYNC_MS,
      })
      reporter.print(
        `The cluster in ${dir} is running (version ${state.cluster.version}, epoch ${state.cluster.epoch})`,
      )
      for (const line of howToConnect(folder)) reporter.print(line)
      reporter.print(`Look at it from another terminal with: npx mirabelle state --dir ${dir}`)
      reporter.print('Ctrl-C stops it')
      await watch(cluster, state.cluster.problems)
    })
}

async function stopWhatRuns(dir: string, reporter: Reporter): Promise<void> {
  const folder = await ClusterFolder.find(dir)
  if (folder?.file.progress !== 'ready') return
  reporter.say('\nStopping the cluster')
  const { failures } = await stopCluster(await withFolder(folder, reporter), 'fast', DEFAULT_STOP_MS)
  for (const failure of failures) reporter.say(failure)
  reporter.say('Stopped. Its data is kept: the next start goes on with it')
}

/** Says what changes, until the process is interrupted. */
async function watch(cluster: Cluster, known: readonly string[]): Promise<never> {
  let before = new Set(known)
  for (const problem of before) cluster.reporter.print(`! ${problem}`)
  for (;;) {
    await delay(cluster.clock, WATCH_EVERY_MS)
    let problems: readonly string[]
    try {
      const state = await stateFromCoordinator(cluster)
      problems = state?.cluster.problems ?? [
        'the coordinator does not answer: run "mirabelle standby activate" or "mirabelle start" in another terminal',
      ]
    } catch (error) {
      problems = [sentenceOf(error)]
    }
    for (const problem of problems) if (!before.has(problem)) cluster.reporter.print(`! ${problem}`)
    if (problems.length === 0 && before.size > 0)
      cluster.reporter.print('All instances are running normally again')
    before = new Set(problems)
  }
}
