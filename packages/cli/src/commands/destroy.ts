/** `mirabelle destroy`: ends a cluster and deletes all of it. */
import { rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import { agentAnswers, askAgent, requireAgents } from '../cluster/agents.ts'
import { withFolder, type Cluster } from '../cluster/cluster.ts'
import { assertNothingRuns, stopCluster } from '../cluster/stop-cluster.ts'
import { CliError } from '../errors.ts'
import { ClusterFolder } from '../folder/cluster-folder.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import { dirOf, dirOption, jsonOption, type DirOption, type JsonOption } from './options.ts'

const REMOVE_MS = 60_000
const STOP_MS = 30_000

export function addDestroy(program: Command): void {
  program
    .command('destroy')
    .description('stop a cluster and delete all of its data')
    .addOption(dirOption())
    .option('--yes', 'do not ask')
    .addOption(jsonOption())
    .action(async (options: DirOption & JsonOption & { readonly yes?: boolean }) => {
      const reporter = terminalReporter()
      const dir = dirOf(options)
      const say = (deleted: boolean, sentence: string): void =>
        reporter.print(options.json === true ? JSON.stringify({ dir, deleted }) : sentence)
      const folder = await ClusterFolder.find(dir)
      if (folder === undefined) {
        say(false, `There is no cluster in ${dir}`)
        return
      }
      if (options.yes !== true && !(await agreed(dir)))
        throw new CliError('nothing was deleted: say --yes to delete the cluster and all of its data')
      await destroyCluster(await withFolder(folder, reporter))
      say(true, `Deleted the cluster in ${dir}`)
    })
}

async function agreed(dir: string): Promise<boolean> {
  if (!process.stdin.isTTY) return false
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await lines.question(`Delete the cluster in ${dir} and all of its data? [y/N] `)
  lines.close()
  return /^y(es)?$/i.test(answer.trim())
}

/** Stops everything at once and deletes it. Run again, it completes what was interrupted. */
export async function destroyCluster(cluster: Cluster): Promise<void> {
  const { folder } = cluster
  const { failures } = await stopCluster(cluster, 'immediate', STOP_MS)
  if (failures.length > 0)
    throw new CliError(`nothing was deleted, something could not be stopped:\n${failures.join('\n')}`)
  await assertNothingRuns(cluster)
  if (folder.file.local) {
    // Hosts first: as long as cluster.json is there, the command can be run again.
    for (const host of folder.file.hosts) await rm(host.dir, { recursive: true, force: true })
  } else await removeThroughAgents(cluster)
  await rm(join(folder.dir, 'templates'), { recursive: true, force: true })
  await rm(join(folder.dir, 'agents'), { recursive: true, force: true })
  await rm(join(folder.dir, folder.file.keyFile), { force: true })
  await folder.remove()
  await rmdir(folder.dir).catch(() => undefined) // it holds files that are not ours
}

async function removeThroughAgents(cluster: Cluster): Promise<void> {
  const answers = await agentAnswers(cluster)
  requireAgents(answers)
  for (const { host, status } of answers) {
    for (const { dbid } of status?.instances ?? [])
      await askAgent(cluster, host, { type: 'agent.remove', dbid }, REMOVE_MS)
  }
}
