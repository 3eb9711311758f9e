/** `mirabelle state`: the summary, and in plain sentences what is wrong. */
import type { ClusterState, InstanceStateRow } from '@mirabelle/messages'
import { entry, RULER, type Report } from './lines.ts'
import { bytesOr, found, segmentsOf, standbyOf, standbyWords } from './words.ts'

export function renderSummary(state: ClusterState): Report {
  const { cluster } = state
  const segments = segmentsOf(state)
  const primaries = segments.filter((row) => row.preferred_role === 'p')
  const mirrors = segments.filter((row) => row.preferred_role === 'm')
  const standby = standbyOf(state)
  const standbyBad = cluster.standby === 'down'
  const lines = [
    'Mirabelle instance status summary',
    RULER,
    entry('Coordinator instance', 'Active'),
    entry('Coordinator address', `${cluster.host}:${cluster.port}`),
    entry('Coordinator epoch', cluster.epoch),
    entry('Coordinator standby', standby?.host ?? 'No coordinator standby configured'),
    ...(standby === undefined
      ? []
      : [entry('Standby coordinator state', standbyWords(state), { bad: standbyBad })]),
    entry('Distributed transactions in doubt', cluster.inDoubt, { bad: cluster.inDoubt > 0 }),
    entry('Total segment instance count from metadata', segments.length),
    RULER,
    '   Primary Segment Status',
    RULER,
    ...counts('primary', primaries),
    RULER,
    '   Mirror Segment Status',
    RULER,
    ...(mirrors.length === 0
      ? ['   Mirrors not configured on this cluster']
      : [...mirrorCounts(mirrors), ...walBounds(segments)]),
    RULER,
    ...problemLines(state),
  ]
  return { lines, exitStatus: 0 }
}

function counts(kind: 'primary' | 'mirror', rows: readonly InstanceStateRow[]): string[] {
  const failures = rows.filter(({ status }) => status === 'd').length
  const missing = rows.filter((row) => !found(row)).length
  return [
    entry(`Total ${kind} segments`, rows.length),
    entry(`Total ${kind} segment valid (at coordinator)`, rows.length - failures),
    entry(`Total ${kind} segment failures (at coordinator)`, failures, { bad: failures > 0 }),
    entry('Total number of instance processes missing', missing, { bad: missing > 0 }),
    entry('Total number of instance processes found', rows.length - missing),
  ]
}

function mirrorCounts(mirrors: readonly InstanceStateRow[]): string[] {
  const acting = mirrors.filter(({ role }) => role === 'p').length
  return [
    ...counts('mirror', mirrors),
    entry('Total number mirror segments acting as primary segments', acting, { bad: acting > 0 }),
    entry('Total number mirror segments acting as mirror segments', mirrors.length - acting),
  ]
}

/** The pair that has most of each: what is kept is bounded by `max_slot_wal_keep_size` and `mirror_base_refresh_size`. */
function walBounds(segments: readonly InstanceStateRow[]): string[] {
  const most = (what: 'wal_kept' | 'wal_since_base'): number | null => {
    const known = segments.flatMap((row) => row[what] ?? [])
    return known.length === 0 ? null : Math.max(...known)
  }
  return [
    entry('Most WAL kept for a mirror (replication slot)', bytesOr(most('wal_kept'))),
    entry('Most WAL of a mirror since its base', bytesOr(most('wal_since_base'))),
  ]
}

/** Each problem in a sentence that says what to do. */
export function problemLines({ cluster }: ClusterState): string[] {
  if (cluster.problems.length === 0) return ['All instances are running normally']
  return ['What is not as it should be:', ...cluster.problems.map((problem) => `   - ${problem}`)]
}

/** `state -Q`: from the catalog alone. */
export function renderQuick(state: ClusterState): Report {
  const segments = segmentsOf(state)
  const down = segments.filter(({ status }) => status === 'd').length
  const ruler = '-'.repeat(59)
  return {
    lines: [
      'Quick Mirabelle database status from Coordinator instance only',
      ruler,
      `# of up segments, from configuration table     = ${segments.length - down}`,
      ...(down > 0 ? [`# of down segments, from configuration table   = ${down}`] : []),
      ruler,
    ],
    exitStatus: 0,
  }
}
