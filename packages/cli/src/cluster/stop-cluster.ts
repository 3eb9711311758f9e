/** Stops a cluster: through its coordinator when that answers, else through the agents of the hosts. On localhost the agents end too. */
import { isMirabelleError, type MessageOf } from '@mirabelle/messages'
import { CliError, sentenceOf } from '../errors.ts'
import { agentAnswers, askAgent, rouse, shutdownAgents, type AgentAnswer } from './agents.ts'
import type { HostEntry } from '../folder/cluster-file.ts'
import type { Cluster } from './cluster.ts'
import { askInstance, findCoordinator } from './coordinators.ts'
import { poll } from './poll.ts'
import { agentProcess, hungSentence, instancesLeft } from './silent-agents.ts'

export type StopMode = MessageOf<'cluster.stop'>['mode']

const LOOK_EVERY_MS = 50
const STOP_ONE_MS = 90_000
const STATUS_MS = 5_000

export interface StopReport {
  /** Instances that ran when the stop began. */
  readonly stopped: number
  /** Sentences about what could not be stopped. */
  readonly failures: readonly string[]
}

/** Stops everything. Resolves with what could not be stopped. */
export async function stopCluster(cluster: Cluster, mode: StopMode, timeoutMs: number): Promise<StopReport> {
  const { local } = cluster.folder.file
  const before = local ? await answersWhereSomethingRuns(cluster) : await agentAnswers(cluster)
  const ran = runningIn(before).length
  const coordinator = await findCoordinator(cluster)
  if (mode === 'immediate') {
    // A crash of everything at once; the coordinator first, so that it does not take the others' ends for failures.
    if (ran > 0) cluster.reporter.say('Stopping the cluster in immediate mode')
  } else if (coordinator !== undefined) {
    cluster.reporter.say(
      `Stopping the cluster in ${mode} mode through the coordinator on ${coordinator.row.hostname}`,
    )
    const waits = await stopThroughCoordinator(cluster, coordinator.row.dbid, mode, timeoutMs)
    // Who asks for smart wants nobody's session ended: that is for fast.
    if (waits)
      throw new CliError(
        `the cluster is not down after ${Math.round(timeoutMs / 1000)} s: it waits for its clients to leave, and lets no more in; "mirabelle stop" ends their sessions`,
      )
  } else if (ran > 0) {
    cluster.reporter.say('No coordinator answers: stopping the instances through the agents of their hosts')
  }
  const failures = await stopThroughAgents(cluster, mode, await agentAnswers(cluster))
  if (local) {
    const answers = await agentAnswers(cluster)
    const up = answers.filter(({ status }) => status !== undefined).map(({ host }) => host)
    failures.push(...(await shutdownAgents(cluster, up, mode)))
    for (const { host } of answers.filter(({ status }) => status === undefined))
      failures.push(...(await leftRunning(cluster, host)))
  } else {
    for (const answer of before.filter(({ status }) => status === undefined))
      failures.push(`the agent of ${answer.host.name} does not answer: ${answer.error}`)
  }
  return { stopped: ran, failures }
}

/** On this machine an agent that is dead is started where instances still run: it adopts them, and can stop them. */
async function answersWhereSomethingRuns(cluster: Cluster): Promise<AgentAnswer[]> {
  return Promise.all(
    (await agentAnswers(cluster)).map(async (answer) => {
      if (answer.status !== undefined) return answer
      return (await instancesLeft(cluster, answer.host)).length === 0 ? answer : rouse(cluster, answer)
    }),
  )
}

/** What runs on a host of this machine although its agent does not answer, in sentences. */
async function leftRunning(cluster: Cluster, host: HostEntry): Promise<string[]> {
  const hung = await agentProcess(host)
  const why = hung === undefined ? 'its agent does not run' : hungSentence(hung)
  const left = await instancesLeft(cluster, host)
  return [
    ...left.map(({ dbid, pid }) => `dbid ${dbid} on ${host.name} runs as process ${pid}`),
    ...(hung === undefined && left.length === 0 ? [] : [`the agent of ${host.name}: ${why}`]),
  ]
}

const runningIn = (answers: readonly AgentAnswer[]) =>
  answers.flatMap(({ host, status }) =>
    (status?.instances ?? []).filter(({ pid }) => pid !== null).map((instance) => ({ host, instance })),
  )

/** Resolves with whether it still waits for its clients, as smart does. */
async function stopThroughCoordinator(
  cluster: Cluster,
  dbid: number,
  mode: StopMode,
  timeoutMs: number,
): Promise<boolean> {
  const row = cluster.folder.row(dbid)
  try {
    await cluster.control.ask(row.endpoint, { type: 'cluster.stop', mode }, timeoutMs)
  } catch (error) {
    const waits = mode === 'smart' && isMirabelleError(error, 'timeout')
    if (!waits) cluster.reporter.say(`The coordinator did not stop the cluster: ${sentenceOf(error)}`)
    return waits
  }
  await poll(cluster.clock, timeoutMs, LOOK_EVERY_MS, async () => {
    const answers = await agentAnswers(cluster)
    return runningIn(answers).some(({ instance }) => instance.dbid === dbid) ? undefined : true
  })
  return false
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
            // Stopped, and not written down: that matters only to an agent that brings its instances back by itself.
            if (cluster.folder.file.local && !(await runs(cluster, host, instance.dbid))) return
            failures.push(`dbid ${instance.dbid} on ${host.name}: ${sentenceOf(error)}`)
          }
        }),
    )
  }
  return failures
}

/** True unless the agent says that it does not. */
async function runs(cluster: Cluster, host: HostEntry, dbid: number): Promise<boolean> {
  const status = await askAgent(cluster, host, { type: 'agent.status' }, STATUS_MS).catch(() => undefined)
  return status?.instances.find((one) => one.dbid === dbid)?.pid !== null
}

/** Throws CliError when an instance still runs. */
export async function assertNothingRuns(cluster: Cluster): Promise<void> {
  const running = runningIn(await agentAnswers(cluster))
  if (running.length === 0) return
  const names = running.map(
    ({ host, instance }) => `dbid ${instance.dbid} on ${host.name} (pid ${instance.pid})`,
  )
  throw new CliError(`still running: ${names.join(', ')}`)
}
