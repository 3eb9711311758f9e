/** Stops a cluster: through its coordinator when that answers, else through the agents of the hosts. On localhost the agents end too. */
import type { MessageOf } from '@mirabelle/messages'
import { CliError, sentenceOf } from '../errors.ts'
import { agentAnswers, askAgent, shutdownAgents, type AgentAnswer } from './agents.ts'
import type { Cluster } from './cluster.ts'
import { askInstance, findCoordinator } from './coordinators.ts'
import { poll } from './poll.ts'

export type StopMode = MessageOf<'cluster.stop'>['mode']

const LOOK_EVERY_MS = 50
const STOP_ONE_MS = 90_000

export interface StopReport {
  /** Instances that ran when the stop began. */
  readonly stopped: number
  /** Sentences about what could not be stopped. */
  readonly failures: readonly string[]
}

/** Stops everything. Resolves with what could not be stopped. */
export async function stopCluster(cluster: Cluster, mode: StopMode, timeoutMs: number): Promise<StopReport> {
  const before = await agentAnswers(cluster)
  const ran = runningIn(before).length
  const coordinator = await findCoordinator(cluster)
  if (mode === 'immediate') {
    // A crash of everything at once; the coordinator first, so that it does not take the others' ends for failures.
    if (ran > 0) cluster.reporter.say('Stopping the cluster in immediate mode')
  } else if (coordinator !== undefined) {
    cluster.reporter.say(
      `Stopping the cluster in ${mode} mode through the coordinator on ${coordinator.row.hostname}`,
    )
    await stopThroughCoordinator(cluster, coordinator.row.dbid, mode, timeoutMs)
  } else if (ran > 0) {
    cluster.reporter.say('No coordinator answers: stopping the instances through the agents of their hosts')
  }
  const failures = await stopThroughAgents(cluster, mode, await agentAnswers(cluster))
  if (cluster.folder.file.local) {
    const up = (await agentAnswers(cluster)).filter(({ status }) => status !== undefined)
    await shutdownAgents(
      cluster,
      up.map(({ host }) => host),
      mode,
    )
  } else {
    for (const answer of before.filter(({ status }) => status === undefined))
      failures.push(`the agent of ${answer.host.name} does not answer: ${answer.error}`)
  }
  return { stopped: ran, failures }
}

const runningIn = (answers: readonly AgentAnswer[]) =>
  answers.flatMap(({ host, status }) =>
    (status?.instances ?? []).filter(({ pid }) => pid !== null).map((instance) => ({ host, instance })),
  )

async function stopThroughCoordinator(
  cluster: Cluster,
  dbid: number,
  mode: StopMode,
  timeoutMs: number,
): Promise<void> {
  const row = cluster.folder.row(dbid)
  try {
    await cluster.control.ask(row.endpoint, { type: 'cluster.stop', mode }, timeoutMs)
  } catch (error) {
    cluster.reporter.say(`The coordinator did not stop the cluster: ${sentenceOf(error)}`)
    return
  }
  await poll(cluster.clock, timeoutMs, LOOK_EVERY_MS, async () => {
    const answers = await agentAnswers(cluster)
    return runningIn(answers).some(({ instance }) => instance.dbid === dbid) ? undefined : true
  })
}

/** Stops what still runs: primaries, so that their mirrors get the last WAL, then mirrors, then content -1 (which goes first in a crash). */
async function stopThroughAgents(
  cluster: Cluster,
  mode: StopMode,
  answers: readonly AgentAnswer[],
): Promise<string[]> {
  const failures: string[] = []
  const running = runningIn(answers)
  const roles = new Map(
    await Promise.all(
      running.map(async ({ instance }) => {
        const known = cluster.folder.file.rows.find(({ dbid }) => dbid === instance.dbid)
        const answer = known === undefined ? undefined : await askInstance(cluster, known)
        return [instance.dbid, answer?.status?.role ?? known?.role ?? 'm'] as const
      }),
    ),
  )
  const wave = ({ instance }: (typeof running)[number]): number => {
    const primary = roles.get(instance.dbid) === 'p'
    if (instance.content === -1) return mode === 'immediate' ? 0 : primary ? 3 : 4
    return primary ? 1 : 2
  }
  for (const number of [0, 1, 2, 3, 4]) {
    await Promise.all(
      running
        .filter((one) => wave(one) === number)
        .map(async ({ host, instance }) => {
          try {
            await askAgent(cluster, host, { type: 'agent.stop', dbid: instance.dbid, mode }, STOP_ONE_MS)
          } catch (error) {
            failures.push(`dbid ${instance.dbid} on ${host.name}: ${sentenceOf(error)}`)
          }
        }),
    )
  }
  return failures
}

/** Ends everything at once and deletes what the cluster holds on its hosts. */
export async function assertNothingRuns(cluster: Cluster): Promise<void> {
  const running = runningIn(await agentAnswers(cluster))
  if (running.length === 0) return
  const names = running.map(
    ({ host, instance }) => `dbid ${instance.dbid} on ${host.name} (pid ${instance.pid})`,
  )
  throw new CliError(`still running: ${names.join(', ')}`)
}
