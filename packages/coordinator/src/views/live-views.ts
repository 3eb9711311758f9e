/**
 * The live views: tables in pg_catalog that are filled anew just before a statement that names them runs, so that any SQL over them works.
 */
import { formatLsn, type InstanceStateRow, type ReplicationRow } from '@mirabelle/messages'
import { literal } from '../catalog/catalog-sql.ts'
import { SETTINGS_TABLE } from './settings-view.ts'
import { refill } from './refill.ts'
import type { SessionActivity } from '../session/session-directory.ts'

/** Relations of pg_catalog that show live views, with the views that they show. PostgreSQL's own views on walsenders and slots show the
 * coordinator's. */
export const LIVE_RELATIONS: ReadonlyMap<string, readonly string[]> = new Map([
  ['gp_stat_replication', ['gp_stat_replication']],
  ['gp_master_mirroring', ['gp_master_mirroring']],
  ['gp_segment_status', ['gp_segment_status']],
  ['pg_stat_replication', ['gp_stat_replication']],
  ['pg_replication_slots', ['gp_stat_replication']],
  ['gp_stat_activity', ['mirabelle_activity']],
  ['pg_stat_activity', ['mirabelle_activity']],
  ['pg_settings', [SETTINGS_TABLE]],
])

/** What the views on the cluster are filled from. */
export interface LiveState {
  /** A row per walsender, with the content of its primary; null for a segment that streams to nobody. */
  readonly replication: readonly { readonly content: number; readonly row: ReplicationRow | null }[]
  readonly instances: readonly InstanceStateRow[]
  readonly standby: StandbySummary
  readonly laneDepth: (content: number) => number
}

/** The one row of gp_master_mirroring (HAWQ). */
export interface StandbySummary {
  readonly summary: 'Not Configured' | 'Synchronizing' | 'Synchronized' | 'Not Synchronized' | 'Unknown'
  readonly detail: string | null
  /** Wall clock, ms, of the last change. */
  readonly changedAt: number | null
  readonly error: string | null
}

/** SQL that fills the views that a statement names, or undefined when it names none. The cluster is asked only for those that show it. */
export async function refreshSql(
  relations: readonly string[],
  sources: {
    readonly cluster: () => Promise<LiveState>
    readonly sessions: () => readonly SessionActivity[]
  },
): Promise<string | undefined> {
  const statements: string[] = []
  if (relations.includes('mirabelle_activity'))
    statements.push(...refill('mirabelle_activity', sources.sessions().map(activityValues)))
  if (relations.some((name) => name !== 'mirabelle_activity'))
    statements.push(...clusterSql(relations, await sources.cluster()))
  return statements.length === 0 ? undefined : statements.join('; ')
}

function clusterSql(relations: readonly string[], state: LiveState): string[] {
  const statements: string[] = []
  if (relations.includes('gp_stat_replication')) {
    statements.push(
      ...refill(
        'gp_stat_replication',
        state.replication.map(({ content, row }) => replicationValues(content, row)),
      ),
    )
  }
  if (relations.includes('gp_master_mirroring')) {
    const { summary, detail, changedAt, error } = state.standby
    statements.push(
      ...refill('gp_master_mirroring', [
        [literal(summary), text(detail), time(changedAt), text(error)].join(','),
      ]),
    )
  }
  if (relations.includes('gp_segment_status')) {
    statements.push(
      ...refill(
        'gp_segment_status',
        state.instances.map((row) => statusValues(row, state)),
      ),
    )
  }
  return statements
}

const text = (value: string | null): string => (value === null ? 'NULL' : literal(value))
const time = (ms: number | null): string => (ms === null ? 'NULL' : `to_timestamp(${(ms / 1000).toFixed(6)})`)
const interval = (ms: number | null): string =>
  ms === null ? 'NULL' : `interval '${Math.max(0, ms).toFixed(3)} milliseconds'`
const lsn = (position: number): string => `'${formatLsn(position)}'::pg_lsn`

/** Longest text of a statement that is shown, characters: PostgreSQL's track_activity_query_size. */
const SHOWN_CHARACTERS = 1_023

function activityValues(session: SessionActivity): string {
  const { peer, lanes } = session
  return [
    session.pid,
    literal(session.user),
    literal(session.applicationName),
    literal(peer.address),
    peer.port,
    time(session.beganAt),
    time(session.transactionAt ?? null),
    time(session.statementAt ?? null),
    time(session.changedAt),
    literal(session.state),
    literal(session.sql.slice(0, SHOWN_CHARACTERS)),
    `'{${lanes.join(',')}}'::integer[]`,
  ].join(',')
}

const REPLICATION_NULLS = 20

function replicationValues(content: number, row: ReplicationRow | null): string {
  // As in Greenplum: a segment without a mirror that follows it has a row, too.
  if (row === null)
    return [content, ...Array.from({ length: REPLICATION_NULLS }, () => 'NULL'), `'none'`].join(',')
  return [
    content,
    row.pid,
    10,
    `'postgres'`,
    `'gp_walreceiver'`,
    row.clientAddr === '' ? 'NULL' : literal(row.clientAddr),
    'NULL',
    row.clientPort,
    time(row.backendStart),
    'NULL',
    literal(row.state),
    lsn(row.sentLsn),
    lsn(row.writeLsn),
    lsn(row.flushLsn),
    lsn(row.replayLsn),
    interval(row.writeLagMs),
    interval(row.flushLagMs),
    interval(row.replayLagMs),
    1,
    literal(row.syncState),
    time(row.replyTime),
    `'none'`,
  ].join(',')
}

function statusValues(row: InstanceStateRow, state: LiveState): string {
  const lag = row.replication
  const sent = lag === null ? null : Math.max(0, lag.sentLsn - lag.flushLsn)
  return [
    row.dbid,
    row.content,
    literal(row.role),
    text(row.state),
    row.pid ?? 'NULL',
    row.timeline ?? 'NULL',
    row.lsn === null ? 'NULL' : `${literal(row.lsn)}::pg_lsn`,
    row.replay_lsn === null ? 'NULL' : `${literal(row.replay_lsn)}::pg_lsn`,
    sent ?? 'NULL',
    lag === null || lag.flushLagMs === null ? 'NULL' : (lag.flushLagMs / 1000).toFixed(6),
    row.role === 'p' ? state.laneDepth(row.content) : 'NULL',
    row.rss_bytes ?? 'NULL',
    row.uptime_s ?? 'NULL',
    row.wal_since_base ?? 'NULL',
    time(row.base_refreshed_at),
    row.wal_kept ?? 'NULL',
    text(row.version),
    text(row.detail === '' ? null : row.detail),
  ].join(',')
}
