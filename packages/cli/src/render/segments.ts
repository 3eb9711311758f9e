/** `mirabelle state -s`: everything about every instance. */
import type { ClusterState, InstanceStateRow } from '@mirabelle/messages'
import { entry, RULER, type Report } from './lines.ts'
import {
  bytesBehind,
  bytesOr,
  coordinatorOf,
  found,
  lsnOr,
  peerOf,
  processWords,
  segmentsOf,
  serves,
  standbyOf,
  standbyWords,
} from './words.ts'

const SIDE = { indent: 6, width: 44 } as const
const TOP = { width: 36 } as const

export function renderSegments(state: ClusterState): Report {
  const rows = [...segmentsOf(state)].sort((a, b) => a.content - b.content || (a.role === 'p' ? -1 : 1))
  const lines = [
    RULER,
    'Coordinator Configuration & Status',
    RULER,
    ...coordinatorLines(state),
    RULER,
    'Segment Instance Status Report',
  ]
  for (const row of rows) lines.push(RULER, ...segmentLines(state, row))
  const bad = rows.some((row) => isBad(row)) || state.cluster.standby === 'down'
  if (bad)
    lines.push(
      '*'.repeat(53),
      'Warnings have been generated during status processing',
      ...state.cluster.problems.map((one) => `   - ${one}`),
      '*'.repeat(53),
    )
  return { lines, exitStatus: bad ? 1 : 0 }
}

const isBad = (row: InstanceStateRow): boolean => row.status === 'd' || !serves(row)

function coordinatorLines(state: ClusterState): string[] {
  const row = coordinatorOf(state)
  const standby = standbyOf(state)
  return [
    entry('Coordinator host', state.cluster.host, TOP),
    entry('Coordinator process ID', row?.pid ?? 'Not found', {
      ...TOP,
      bad: row === undefined || !found(row),
    }),
    entry('Coordinator data directory', row?.datadir ?? '', TOP),
    entry('Coordinator port', state.cluster.port, TOP),
    entry('Coordinator current role', 'dispatch', TOP),
    entry('Coordinator epoch', state.cluster.epoch, TOP),
    entry('Mirabelle current version', state.cluster.version, TOP),
    entry('Coordinator standby', standby?.host ?? 'No coordinator standby configured', TOP),
    ...(standby === undefined
      ? []
      : [
          entry('Standby coordinator state', standbyWords(state), {
            ...TOP,
            bad: state.cluster.standby === 'down',
          }),
        ]),
  ]
}

function segmentLines(state: ClusterState, row: InstanceStateRow): string[] {
  const down = row.status === 'd'
  const running = found(row)
  return [
    '   Segment Info',
    entry('Hostname', row.host, SIDE),
    entry('Address', row.address, SIDE),
    entry('Datadir', row.datadir, SIDE),
    entry('Port', row.port, SIDE),
    '   Mirroring Info',
    entry('Current role', row.role === 'p' ? 'Primary' : 'Mirror', SIDE),
    entry('Preferred role', row.preferred_role === 'p' ? 'Primary' : 'Mirror', SIDE),
    entry('Mirror status', mirrorStatus(state, row), {
      ...SIDE,
      bad: peerOf(state, row) !== undefined && row.mode === 'n',
    }),
    '   Replication Info',
    ...replicationLines(state, row),
    '   Status',
    entry('PID', row.pid ?? 'Not found', { ...SIDE, bad: !running }),
    entry('Configuration reports status as', down ? 'Down' : 'Up', { ...SIDE, bad: down }),
    entry(row.role === 'p' ? 'Database status' : 'Segment status', processWords(row), {
      ...SIDE,
      bad: isBad(row),
    }),
    ...(row.detail === '' ? [] : [entry('Detail', row.detail, SIDE)]),
    ...(row.timeline === null ? [] : [entry('Timeline', row.timeline, SIDE)]),
  ]
}

function mirrorStatus(state: ClusterState, row: InstanceStateRow): string {
  if (peerOf(state, row) === undefined) return 'Mirrors not configured'
  if (row.role === 'p') return row.mode === 's' ? 'Synchronized' : 'Not In Sync'
  const stream = peerOf(state, row)?.replication
  if (stream === null || stream === undefined) return 'Not In Sync'
  return stream.state === 'streaming' ? 'Streaming' : 'Catching up'
}

function replicationLines(state: ClusterState, row: InstanceStateRow): string[] {
  if (row.role === 'p') {
    const behind = bytesBehind(row)
    const mirrored = peerOf(state, row) !== undefined
    return [
      entry('Current write location', row.lsn ?? 'Unknown', { ...SIDE, bad: row.lsn === null }),
      ...(mirrored
        ? [entry('Bytes remaining to send to mirror', behind, { ...SIDE, bad: behind === 'Unknown' })]
        : []),
      entry(
        'Commits wait for the mirror',
        row.sync_rep === null ? 'Unknown' : row.sync_rep ? 'Yes' : 'No',
        SIDE,
      ),
      ...(mirrored ? [entry('WAL kept for the mirror (slot)', bytesOr(row.wal_kept), SIDE)] : []),
    ]
  }
  const stream = peerOf(state, row)?.replication ?? undefined
  const bad = stream === undefined
  return [
    entry('WAL Sent Location', lsnOr(stream?.sentLsn), { ...SIDE, bad }),
    entry('WAL Flush Location', lsnOr(stream?.flushLsn), { ...SIDE, bad }),
    entry('WAL Replay Location', lsnOr(stream?.replayLsn), { ...SIDE, bad }),
    entry(
      'Bytes received but remain to flush',
      stream === undefined ? 'Unknown' : Math.max(0, stream.writeLsn - stream.flushLsn),
      { ...SIDE, bad },
    ),
    entry(
      'Bytes received but remain to replay',
      stream === undefined ? 'Unknown' : Math.max(0, stream.flushLsn - stream.replayLsn),
      { ...SIDE, bad },
    ),
    entry('WAL since its base', bytesOr(row.wal_since_base), SIDE),
    ...(row.base_refreshed_at === null
      ? []
      : [entry('Base last refreshed', new Date(row.base_refreshed_at).toISOString(), SIDE)]),
  ]
}
