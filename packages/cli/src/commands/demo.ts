/** `mirabelle demo` (`npm run demo`): processes of a throw-away cluster are killed under load, and every acknowledged row is counted. */
import { tmpdir } from 'node:os'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { createCluster, type Cluster } from '../create-cluster.ts'
import { tellStory, type StoryResult } from '../demo/story.ts'
import { Timeline } from '../demo/timeline.ts'
import { ClusterFolder } from '../folder/cluster-folder.ts'
import { withFolder } from '../cluster/cluster.ts'
import { sentenceOf } from '../errors.ts'
import { onInterrupt } from '../terminal/interrupt.ts'
import { terminalReporter, type Reporter } from '../terminal/reporter.ts'
import { destroyCluster } from './destroy.ts'
import { jsonOption, secondsOption, wholeNumber, type JsonOption } from './options.ts'
import { rm } from 'node:fs/promises'

interface DemoCommand extends JsonOption {
  readonly writers: number
  readonly segments: number
  readonly phase: number
}

export function addDemo(program: Command): void {
  program
    .command('demo')
    .description('kill processes of a throw-away cluster under load, and count every acknowledged row')
    .option('--writers <n>', 'clients that write', wholeNumber(2, 500), 16)
    .option('--segments <n>', 'primaries in all', wholeNumber(2, 16), 2)
    .addOption(secondsOption('--phase <seconds>', 'how long clients write between two events', 2000))
    .addOption(jsonOption())
    .action(async (options: DemoCommand) => {
      const reporter = terminalReporter()
      const timeline = new Timeline((line) => reporter.print(line))
      const dir = await mkdtemp(join(tmpdir(), 'mirabelle-demo-'))
      let cleaning: Promise<void> | undefined
      const clean = (): Promise<void> => (cleaning ??= cleanUp(dir, reporter))
      const takeBack = onInterrupt(clean)
      let result: StoryResult
      try {
        timeline.add('creating a cluster: coordinator, standby, mirrored segments')
        const cluster = await createCluster({ dir, segments: options.segments })
        timeline.add(`it runs: ${await describe(cluster)}`)
        result = await tellStory(cluster, timeline, { writers: options.writers, phaseMs: options.phase })
      } finally {
        await clean()
        takeBack()
        timeline.add('everything stopped and deleted')
      }
      reporter.print(
        result.ok
          ? 'OK: nothing acknowledged was lost, nothing is there twice'
          : 'FAILED: see the counts above',
      )
      if (options.json === true) reporter.print(JSON.stringify({ ...result, timeline: timeline.events }))
      process.exitCode = result.ok ? 0 : 1
    })
}

async function describe(cluster: Cluster): Promise<string> {
  const running = (await cluster.instances()).filter(({ pid }) => pid !== null).length
  return `${running} processes, clients connect to ${cluster.multiHostConnectionString}`
}

/** Ends what the demo has started, and nothing else; says so when that did not work. */
async function cleanUp(dir: string, reporter: Reporter): Promise<void> {
  try {
    const folder = await ClusterFolder.find(dir)
    if (folder !== undefined) await destroyCluster(await withFolder(folder, reporter))
    await rm(dir, { recursive: true, force: true })
  } catch (error) {
    reporter.say(`The demo's cluster in ${dir} could not be deleted: ${sentenceOf(error)}`)
  }
}
