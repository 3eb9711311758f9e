/** Asks every instance how it is and says plainly what is wrong (`mirabelle state`, live views). */
import {
  formatLsn,
  type ClusterState,
  type InstanceStateRow,
  type MessageOf,
  type ReplicationRow,
  type SegmentRow,
} from '@mirabelle/messages'
import type { Clock } from '@mirabelle/runtime'
import type { FtsProber } from '@mirabelle/fts'
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
  if (row.dbid === sources.ownDbid) return sources.ownStatus()
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
    sync_rep: status?.syncRep ?? null,
    rss_bytes: status?.rssBytes ?? null,
    uptime_s: status === null ? null : Math.max(0, Math.round((now - status.startedAt) / 1000)),
    detail: status?.detail ?? lastWord,
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

/** Sentences about what is not as it should be, each with the command that mends it. */
export function problemsOf(
  sources: StateSources,
  instances: readonly InstanceStateRow[],
  standby: string,
): string[] {
  const problems: string[] = []
  for (const row of instances.filter((one) => one.content >= 0)) {
    const who = `dbid ${row.dbid} (content ${row.content}, ${row.host}:${row.port})`
    const why = row.pid === null && row.detail !== '' ? ` (it ended: ${row.detail})` : ''
    if (row.status === 'd') problems.push(`${who} is marked down${why}: run "mirabelle recover"`)
    else if (row.pid === null) problems.push(`${who} does not answer${why}: run "mirabelle start"`)
    if (row.role !== row.preferred_role && row.role === 'p')
      problems.push(
        `${who} acts as primary but is preferred as mirror: run "mirabelle rebalance" when the pair is in sync`,
      )
    if (
      row.role === 'p' &&
      row.mode === 'n' &&
      row.status === 'u' &&
      instances.some((other) => other.content === row.content && other.role === 'm' && other.status === 'u')
    ) {
      problems.push(`content ${row.content} is not in sync yet: its mirror is catching up`)
    }
  }
  for (const content of sources.topology.contents) {
    const state = sources.fts.contentState(content)
    if (state !== undefined && state.advice !== '') problems.push(`content ${content}: ${state.advice}`)
  }
  if (standby === 'down')
    problems.push('the standby coordinator is not streaming: run "mirabelle standby resync"')
  const inDoubt = sources.inDoubt()
  if (inDoubt.length > 0)
    problems.push(
      `${inDoubt.length} distributed transaction(s) in doubt until all their contents are back: ${inDoubt.slice(0, 5).join(', ')}`,
    )
  return problems
}

export async function collectState(sources: StateSources): Promise<ClusterState> {
  const instances = await collectInstances(sources)
  const standby = standbyState(instances)
  const problems = problemsOf(sources, instances, standby)
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
