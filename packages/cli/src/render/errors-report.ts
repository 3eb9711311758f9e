/** `mirabelle state -e`: only what is not as it should be. */
import type { ClusterState, InstanceStateRow } from '@mirabelle/messages'
import { columns, RULER, type Report } from './lines.ts'
import { bytesBehind, found, peerOf, processWords, segmentsOf, serves } from './words.ts'

export function renderErrors(state: ClusterState): Report {
  const segments = segmentsOf(state)
  const primaries = segments.filter(({ role }) => role === 'p')
  const sections: string[][] = []
  const switched = primaries.filter((row) => row.preferred_role === 'm')
  if (switched.length > 0)
    sections.push([
      'Segments with Primary and Mirror Roles Switched',
      ...columns(
        ['Current Primary', 'Port', 'Mirror', 'Port'],
        switched.map((row) => [row.host, String(row.port), ...mirrorColumns(state, row)]),
      ),
    ])
  const unsynced = primaries.filter((row) => row.mode === 'n' && peerOf(state, row) !== undefined)
  if (unsynced.length > 0)
    sections.push([
      'Unsynchronized Segment Pairs',
      ...columns(
        ['Current Primary', 'Port', 'WAL sync remaining bytes', 'Mirror', 'Port'],
        unsynced.map((row) => [row.host, String(row.port), bytesBehind(row), ...mirrorColumns(state, row)]),
      ),
    ])
  const down = segments.filter((row) => row.status === 'd' || !found(row) || !serves(row))
  if (down.length > 0)
    sections.push([
      'Downed Segments (may include segments where status could not be retrieved)',
      ...columns(
        ['Segment', 'Port', 'Config status', 'Status'],
        down.map((row) => [
          row.host,
          String(row.port),
          row.status === 'd' ? 'Down' : 'Up',
          processWords(row),
        ]),
      ),
    ])
  const copied = state.instances.filter((row) => row.copy !== null && row.copy !== undefined)
  if (copied.length > 0)
    sections.push([
      'Segments in recovery',
      ...columns(
        [
          'Segment',
          'Port',
          'Recovery type',
          'Completed bytes (kB)',
          'Total bytes (kB)',
          'Percentage completed',
        ],
        copied.map(recoveryColumns),
      ),
    ])
  const standby = standbySection(state)
  if (standby.length > 0) sections.push(standby)
  if (state.cluster.inDoubt > 0)
    sections.push([
      'Distributed transactions in doubt',
      ...state.cluster.inDoubtGids.map((gid) => `   ${gid}`),
    ])
  const lines = [RULER, 'Segment Mirroring Status Report']
  // Some problems have no section: an agent that does not answer, a disk that is nearly full.
  if (sections.length === 0 && state.cluster.problems.length === 0)
    return { lines: [...lines, RULER, 'All segments are running normally'], exitStatus: 0 }
  for (const section of sections) lines.push(RULER, ...section)
  if (unavailable(segments)) lines.push(...UNAVAILABLE)
  lines.push(RULER, ...state.cluster.problems.map((problem) => `   - ${problem}`))
  return { lines, exitStatus: 1 }
}

const STARS = '*'.repeat(53)
const UNAVAILABLE = [
  STARS,
  'DATABASE IS PROBABLY UNAVAILABLE',
  'A content has no instance that serves it',
  STARS,
]

function mirrorColumns(state: ClusterState, row: InstanceStateRow): [string, string] {
  const mirror = peerOf(state, row)
  return [mirror?.host ?? '', String(mirror?.port ?? '')]
}

function recoveryColumns({ host, port, copy }: InstanceStateRow): string[] {
  const kB = (bytes: number): string => String(Math.round(bytes / 1024))
  const { mode, bytesDone, bytesTotal } = copy ?? { mode: 'full', bytesDone: 0, bytesTotal: 0 }
  const share = bytesTotal === 0 ? 'Unknown' : `${Math.floor((bytesDone / bytesTotal) * 100)}%`
  return [host, String(port), mode, kB(bytesDone), bytesTotal === 0 ? 'Unknown' : kB(bytesTotal), share]
}

/** Some content has no acting primary that answers. */
function unavailable(segments: readonly InstanceStateRow[]): boolean {
  return segments.some((row) => row.role === 'p' && (row.status === 'd' || !found(row)))
}

function standbySection(state: ClusterState): string[] {
  const { standby } = state.cluster
  if (standby === 'none' || standby === 'streaming') return []
  return [
    'Standby coordinator',
    `   ${standby === 'down' ? 'It is not streaming: commits do not wait for it, and it lacks what came since' : 'It is catching up'}`,
  ]
}
