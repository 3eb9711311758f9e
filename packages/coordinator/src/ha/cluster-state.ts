/** Asks every instance how it is (`mirabelle state`, live views); what is wrong is put into words by problems.ts. */
import {
  formatLsn,
  walKept,
  walSinceBase,
  type ClusterState,
  type InstanceStateRow,
  type MessageOf,
  type ReplicationRow,
  type SegmentRow,
} from '@mirabelle/messages'
import type { Clock } from '@mirabelle/runtime'
import type { FtsProber } from '@mirabelle/fts'
import { problemsOf } from './problems.ts'
import type { SegmentLinks } from './segment-links.ts'
import type { Topology } from './topology.ts'

const STATUS_TIMEOUT_MS = 800

type Status = MessageOf<'instance.statusIs'>

export interface StateSources {
  readonly topology: Topology
  readonly links: SegmentLinks
  readonly fts: FtsProber
  readonly clock: Clock
  readonly ownDbid: number
  readonly ownStatus: () => Status
  /** Learns how full the own disk is, for `ownStatus`. */
  readonly lookAtOwnDisk?: (() => Promise<void>) | undefined
  readonly inDoubt: () => readonly string[]
  readonly version: string
}

/** What the agents say of the ends of these instances, by dbid: nothing for those that did not fail or whose agent is silent. */
async function lastWords(
  silentRows: readonly SegmentRow[],
  sources: StateSources,
): Promise<ReadonlyMap<number, string>> {
  const words = new Map<number, string>()
  const hosts = [...new Set(silentRows.map((row) => row.hostname))]
  await Promise.all(
    hosts.map(async (hostname) => {
      try {
        const { instances } = await sources.links
          .agent(hostname)
          .request({ type: 'agent.status' }, STATUS_TIMEOUT_MS)
        for (const { dbid, lastError } of instances) if (lastError !== null) words.set(dbid, lastError)
      } catch {
        return // a host that is out of reach says nothing
      }
    }),
  )
  return words
}

/** The state of one instance, or null when it does not answer. */
async function statusOf(row: SegmentRow, sources: StateSources): Promise<Status | null> {
  if (row.dbid === sources.ownDbid) {
    await sources.lookAtOwnDisk?.()
    return sources.ownStatus()
  }
  try {
    return await sources.links.instance(row).request({ type: 'instance.status' }, STATUS_TIMEOUT_MS)
  } catch {
    return null // not answering is what the row then says
  }
}

function stateRow(
  row: SegmentRow,
  status: Status | null,
  replication: ReplicationRow | null,
  now: number,
  lastWord: string,
): InstanceStateRow {
  return {
    dbid: row.dbid,
    content: row.content,
    role: row.role,
    preferred_role: row.preferredRole,
    mode: row.mode,
    status: row.status,
    host: row.hostname,
    address: row.address,
    port: row.port,
    datadir: row.datadir,
    pid: status?.pid ?? null,
    state: status?.roleState ?? null,
    timeline: status?.timeline ?? null,
    lsn: status === null ? null : formatLsn(status.flushLsn),
    replay_lsn: status === null || status.role !== 'm' ? null : formatLsn(status.replayLsn),
    wal_since_base: status === null ? null : walSinceBase(status),
    base_refreshed_at: status?.baseRefreshedAt ?? null,
    wal_kept: status === null ? null : walKept(status),
    disk_free: status?.diskFree ?? null,
    sync_rep: status?.syncRep ?? null,
    rss_bytes: status?.rssBytes ?? null,
    uptime_s: status === null ? null : Math.max(0, Math.round((now - status.startedAt) / 1000)),
    version: status?.version ?? null,
    detail: status?.detail ?? lastWord,
    copy: status?.copy ?? null,
    replication,
  }
}

/** Everything, asked in parallel; takes at most twice STATUS_TIMEOUT_MS. */
export async function collectInstances(sources: StateSources): Promise<InstanceStateRow[]> {
  const rows = sources.topology.rows()
  const statuses = await Promise.all(rows.map((row) => statusOf(row, sources)))
  const words = await lastWords(
    rows.filter((_row, i) => statuses[i] === null),
    sources,
  )
  const now = sources.clock.now()
  return rows.map((row, i) => {
    const replication =
      statuses[i]?.replication.find((stream) => stream.dbid === sources.topology.peerOf(row)?.dbid) ?? null
    return stateRow(row, statuses[i] ?? null, replication, now, words.get(row.dbid) ?? '')
  })
}

/** The standby as its walsender sees it. */
export function standbyState(instances: readonly InstanceStateRow[]): ClusterState['cluster']['standby'] {
  if (!instances.some((row) => row.content === -1 && row.role === 'm')) return 'none'
  const stream = instances.find((row) => row.content === -1 && row.role === 'p')?.replication
  if (stream === undefined || stream === null) return 'down'
  return stream.state === 'streaming' ? 'streaming' : 'catchup'
}

/** Hosts whose agent does not answer now. */
async function silentAgents({ topology, links }: StateSources): Promise<string[]> {
  const hosts = topology.hosts.map(({ hostname }) => hostname)
  const answers = await Promise.allSettled(
    hosts.map((hostname) => links.agent(hostname).connect(STATUS_TIMEOUT_MS)),
  )
  return hosts.filter((_host, i) => answers[i]?.status === 'rejected')
}

export async function collectState(sources: StateSources): Promise<ClusterState> {
  const [instances, silent] = await Promise.all([collectInstances(sources), silentAgents(sources)])
  const standby = standbyState(instances)
  const problems = problemsOf({
    instances,
    standby,
    advice: sources.topology.contents.map((content) => [
      content,
      sources.fts.contentState(content)?.advice ?? '',
    ]),
    inDoubt: sources.inDoubt(),
    silentAgents: silent,
  })
  const own = sources.topology.row(sources.ownDbid)
  return {
    cluster: {
      id: sources.topology.clusterId,
      version: sources.version,
      epoch: sources.topology.epoch,
      host: own?.address ?? 'localhost',
      port: own?.port ?? 0,
      mirroring: sources.topology.mirroring,
      inDoubt: sources.inDoubt().length,
      inDoubtGids: sources.inDoubt(),
      standby,
      healthy: problems.length === 0,
      problems,
    },
    instances,
  }
}
