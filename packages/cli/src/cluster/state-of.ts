/** The state of a cluster: from its coordinator, or, when that is dead, what agents and instances say of themselves. */
import { VERSION } from '@mirabelle/agent/facts'
import {
  formatLsn,
  walKept,
  walSinceBase,
  type AgentInstanceRow,
  type ClusterState,
  type Endpoint,
  type InstanceStateRow,
  type SegmentRow,
} from '@mirabelle/messages'
import { sentenceOf } from '../errors.ts'
import { agentAnswers, type AgentAnswer } from './agents.ts'
import type { Cluster } from './cluster.ts'
import { describedBy, isStale } from './describe-catalog.ts'
import { askInstance, findCoordinator, noCoordinator, type InstanceAnswer } from './coordinators.ts'

const STATE_MS = 10_000

/** Asks the coordinator, and brings the description up to date where it is older. Resolves with undefined when none answers. */
export async function stateFromCoordinator(cluster: Cluster): Promise<ClusterState | undefined> {
  const acting = await findCoordinator(cluster)
  if (acting === undefined) return undefined
  const { endpoint } = acting.row
  const { state } = await cluster.control.ask(endpoint, { type: 'cluster.state' }, STATE_MS)
  if (isStale(cluster.folder.file, state.instances)) await describe(cluster, endpoint)
  return state
}

/** Whoever only wants to look is told all the same when the description cannot be changed. */
async function describe({ control, folder, reporter }: Cluster, coordinator: Endpoint): Promise<void> {
  try {
    const catalog = await control.ask(coordinator, { type: 'cluster.catalog' }, STATE_MS)
    await folder.update(describedBy(catalog))
  } catch (error) {
    reporter.say(`cluster.json is older than the catalog: ${sentenceOf(error)}`)
  }
}

/** What can be known without a coordinator. `inDoubt` is null: only a coordinator knows. */
export type HeadlessState = Omit<ClusterState, 'cluster'> & {
  readonly cluster: Omit<ClusterState['cluster'], 'inDoubt' | 'standby'> & {
    readonly coordinator: 'down'
    readonly inDoubt: null
    readonly standby: 'none' | 'up' | 'down'
  }
  readonly agents: readonly { readonly host: string; readonly pid: number | null; readonly error: string }[]
}

export async function headlessState(cluster: Cluster): Promise<HeadlessState> {
  const { file } = cluster.folder
  const [agents, answers] = await Promise.all([
    agentAnswers(cluster),
    Promise.all(file.rows.map((row) => askInstance(cluster, row))),
  ])
  const now = cluster.clock.now()
  const rows = answers
    .filter(
      ({ row }) => row.content >= 0 || row.dbid === file.coordinatorDbid || row.dbid === file.standbyDbid,
    )
    .map((answer) => ({
      ...instanceRow(answer, agents, now),
      ...coordinatorRole(answer, file.coordinatorDbid),
    }))
  const coordinator = cluster.folder.row(file.coordinatorDbid)
  const standby = rows.find(({ dbid }) => dbid === file.standbyDbid)
  const silent = agents.filter(({ status }) => status === undefined)
  return {
    cluster: {
      id: file.clusterId,
      version: VERSION,
      epoch: Math.max(file.epoch, ...answers.map(({ status }) => status?.epoch ?? 0)),
      host: coordinator.address,
      port: coordinator.port,
      mirroring: file.mirroring,
      coordinator: 'down',
      inDoubt: null,
      inDoubtGids: [],
      standby: standby === undefined ? 'none' : standby.state === null ? 'down' : 'up',
      healthy: false,
      problems: [
        noCoordinator(cluster),
        ...rows
          .filter(({ pid, detail }) => pid === null && detail !== '')
          .map(
            ({ dbid, content, host, detail }) =>
              `dbid ${dbid} (content ${content}, ${host}) has ended: ${detail}`,
          ),
        ...silent.map(({ host, error }) => `the agent of ${host.name} does not answer: ${error}`),
      ],
    },
    instances: rows,
    agents: agents.map(({ host, status, error }) => ({ host: host.name, pid: status?.pid ?? null, error })),
  }
}

/** A row without the catalog: the role is what the instance says, or as planned when it does not answer; mode and status are unknown. */
function instanceRow(answer: InstanceAnswer, agents: readonly AgentAnswer[], now: number): InstanceStateRow {
  const { row, status } = answer
  const seen = agentRow(row, agents)
  return {
    dbid: row.dbid,
    content: row.content,
    role: status?.role ?? row.role,
    preferred_role: row.preferredRole,
    mode: 'n',
    status: status === undefined && (seen?.pid ?? null) === null ? 'd' : 'u',
    host: row.hostname,
    address: row.address,
    port: row.port,
    datadir: row.datadir,
    pid: status?.pid ?? seen?.pid ?? null,
    state: status?.roleState ?? null,
    timeline: status?.timeline ?? null,
    lsn: status === undefined ? null : formatLsn(status.flushLsn),
    replay_lsn: status === undefined || status.role !== 'm' ? null : formatLsn(status.replayLsn),
    wal_since_base: status === undefined ? null : walSinceBase(status),
    base_refreshed_at: status?.baseRefreshedAt ?? null,
    disk_free: status?.diskFree ?? null,
    wal_kept: status === undefined ? null : walKept(status),
    sync_rep: status?.syncRep ?? null,
    rss_bytes: status?.rssBytes ?? null,
    uptime_s: status === undefined ? null : Math.max(0, Math.round((now - status.startedAt) / 1000)),
    version: status?.version ?? null,
    copy: status?.copy ?? null,
    detail: status?.detail ?? silentWords(seen),
    replication: null,
  }
}

/** Why an instance does not answer, as its agent knows it. */
function silentWords(seen: AgentInstanceRow | undefined): string {
  if (seen?.state === 'running') return 'its process exists but does not answer'
  return seen?.lastError ?? ''
}

/** An instance of content -1 that does not answer is what it was when the command line last looked. */
function coordinatorRole({ row, status }: InstanceAnswer, coordinatorDbid: number): { role?: 'p' | 'm' } {
  if (row.content >= 0 || status !== undefined) return {}
  return { role: row.dbid === coordinatorDbid ? 'p' : 'm' }
}

function agentRow(row: SegmentRow, agents: readonly AgentAnswer[]) {
  return agents
    .find(({ host }) => host.name === row.hostname)
    ?.status?.instances.find(({ dbid }) => dbid === row.dbid)
}
