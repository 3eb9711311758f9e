/** Starts one instance through the agent of its host, and says why it ended when it did. */
import { instanceLogFile } from '@mirabelle/agent/facts'
import type { AgentInstanceRow, Role, SegmentRow } from '@mirabelle/messages'
import { askAgent, ensureAgents, requireAgents, type AgentAnswer } from './agents.ts'
import { assignmentOf } from './assignments.ts'
import type { Cluster } from './cluster.ts'
import { askInstance } from './coordinators.ts'
import { poll } from './poll.ts'

const START_MS = 15_000
const STATUS_MS = 5_000
const LOOK_EVERY_MS = 50

/** What the agents know of an instance. */
export function rowAt(answers: readonly AgentAnswer[], dbid: number): AgentInstanceRow | undefined {
  return answers.flatMap(({ status }) => status?.instances ?? []).find((row) => row.dbid === dbid)
}

/** Starts the process of an instance in a role; one that runs already stays as it is. `texts`: for this start only. */
export async function spawnInstance(
  cluster: Cluster,
  row: SegmentRow,
  role: Role,
  texts: Readonly<Record<string, string>> = {},
): Promise<void> {
  const host = cluster.folder.host(row.hostname)
  const { instances } = await askAgent(cluster, host, { type: 'agent.status' }, STATUS_MS)
  const promised = instances.find(({ dbid }) => dbid === row.dbid)?.promisedEpoch ?? 0
  const assignment = assignmentOf(cluster.folder, row, role)
  // Nobody speaks for an older epoch than the instance knows: the file may be older than the last activation.
  const epoch = Math.max(assignment.epoch, promised)
  const settings = { ...assignment.settings, ...texts }
  await askAgent(
    cluster,
    host,
    { type: 'agent.start', assignment: { ...assignment, epoch, settings } },
    START_MS,
  )
}

/** Why an instance does not run, in its own words where it had any; undefined while it runs. */
export async function whyEnded(cluster: Cluster, row: SegmentRow): Promise<string | undefined> {
  const host = cluster.folder.host(row.hostname)
  const { instances } = await askAgent(cluster, host, { type: 'agent.status' }, STATUS_MS)
  const now = instances.find(({ dbid }) => dbid === row.dbid)
  if (now?.pid !== null && now !== undefined) return undefined
  return now?.lastError ?? `its process ended; see ${instanceLogFile(row.datadir)} on ${row.hostname}`
}

/** Waits until the instance is in the role (a mirror may be promoted as soon as it is up) and, as primary of content -1, serves. Resolves with why it is not; undefined when it is. */
export async function waitForRole(
  cluster: Cluster,
  row: SegmentRow,
  role: Role,
  timeoutMs: number,
): Promise<string | undefined> {
  const wanted = role === 'p' ? ['primary'] : ['mirror', 'primary']
  const seen = await poll(cluster.clock, timeoutMs, LOOK_EVERY_MS, async () => {
    const failure = await whyEnded(cluster, row)
    if (failure !== undefined) return { failure }
    const { status } = await askInstance(cluster, row)
    if (status === undefined || !wanted.includes(status.roleState)) return undefined
    if (row.content !== -1 || role !== 'p') return { failure: undefined }
    return cluster.control.ask(row.endpoint, { type: 'cluster.state' }, STATUS_MS).then(
      () => ({ failure: undefined }),
      () => undefined, // it is primary, but does not answer for the cluster yet
    )
  })
  if (seen !== undefined) return seen.failure
  return `it is not up after ${Math.round(timeoutMs / 1000)} s; its log is in ${row.datadir}/log`
}

/** Starts one instance as the file says it is to run; resolves with why it ended, or undefined when it stays up. */
export async function startOne(
  cluster: Cluster,
  dbid: number,
  timeoutMs: number,
): Promise<string | undefined> {
  const row = cluster.folder.row(dbid)
  const { answers } = await ensureAgents(cluster)
  requireAgents(answers.filter(({ host }) => host.name === row.hostname))
  const role = rowAt(answers, dbid)?.dataRole ?? row.role
  await spawnInstance(cluster, row, role)
  return waitForRole(cluster, row, role, timeoutMs)
}
