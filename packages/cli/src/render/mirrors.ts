/** `mirabelle state -m` and `-c`: mirrors, and pairs by preferred role. */
import type { ClusterState, InstanceStateRow } from '@mirabelle/messages'
import { columns, type Report } from './lines.ts'
import { found, peerOf, segmentsOf } from './words.ts'

const RULER = '-'.repeat(62)

const head = (state: ClusterState): string[] => [
  RULER,
  'Current Mirabelle mirror list and status',
  `Type = ${{ group: 'Group', spread: 'Spread', none: 'None' }[state.cluster.mirroring]}`,
  RULER,
]

const failed = (row: InstanceStateRow): boolean => row.status === 'd' || !found(row)

function mirrorsOf(state: ClusterState): InstanceStateRow[] {
  return segmentsOf(state)
    .filter((row) => row.preferred_role === 'm')
    .sort((a, b) => a.content - b.content)
}

const NONE = 'Mirrors are not configured on this cluster'

/** Whether the two copies are one. */
function dataState(state: ClusterState, row: InstanceStateRow): string {
  if (row.mode === 's') return 'Synchronized'
  const primary = row.role === 'p' ? row : peerOf(state, row)
  return primary?.replication?.state === 'catchup' ? 'Catching up' : 'Not In Sync'
}

export function renderMirrors(state: ClusterState): Report {
  const mirrors = mirrorsOf(state)
  if (mirrors.length === 0) return { lines: [...head(state), NONE, RULER], exitStatus: 0 }
  const status = (row: InstanceStateRow): string =>
    failed(row) ? 'Failed' : row.role === 'p' ? 'Acting as Primary' : 'Passive'
  const lines = columns(
    ['Mirror', 'Datadir', 'Port', 'Status', 'Data Status'],
    mirrors.map((row) => [
      row.host,
      row.datadir,
      String(row.port),
      status(row),
      failed(row) ? '' : dataState(state, row),
    ]),
    (i) => failed(mirrors[i] as InstanceStateRow),
  )
  const down = mirrors.filter(failed).length
  const acting = mirrors.filter((row) => !failed(row) && row.role === 'p')
  const unsynced = acting.filter((row) => row.mode === 'n').length
  const notes = [
    ...(down > 0 ? [`${down} segment(s) configured as mirror(s) have failed`] : []),
    ...(acting.length > 0
      ? [`${acting.length} segment(s) configured as mirror(s) are acting as primaries`]
      : []),
    ...(unsynced > 0 ? [`${unsynced} mirror segment(s) acting as primaries are not synchronized`] : []),
  ]
  const wrong = down > 0 || mirrors.some(({ mode }) => mode === 'n')
  return { lines: [...head(state), ...lines, RULER, ...notes], exitStatus: wrong ? 1 : 0 }
}

export function renderPairs(state: ClusterState): Report {
  const mirrors = mirrorsOf(state)
  if (mirrors.length === 0) return { lines: [...head(state), NONE, RULER], exitStatus: 0 }
  const pairs = mirrors.flatMap((mirror) => {
    const primary = peerOf(state, mirror)
    return primary === undefined ? [] : [{ primary, mirror }]
  })
  type Pair = (typeof pairs)[number]
  const isAmiss = (pair: Pair): boolean =>
    words(pair) !== 'Primary Active, Mirror Available' || pair.mirror.mode === 'n'
  const words = ({ primary, mirror }: Pair): string => {
    if (failed(primary) && failed(mirror)) return 'Both Failed, Segment Unavailable'
    if (mirror.role === 'p')
      return failed(primary) ? 'Mirror Active, Primary Failed' : 'Mirror Active, Primary Acting as Mirror'
    if (failed(primary)) return 'Primary Failed'
    return failed(mirror) ? 'Primary Active, Mirror Failed' : 'Primary Active, Mirror Available'
  }
  const lines = columns(
    ['Status', 'Data State', 'Primary', 'Datadir', 'Port', 'Mirror', 'Datadir', 'Port'],
    pairs.map((pair) => {
      const { primary, mirror } = pair
      return [
        words(pair),
        dataState(state, mirror),
        primary.host,
        primary.datadir,
        String(primary.port),
        mirror.host,
        mirror.datadir,
        String(mirror.port),
      ]
    }),
    (i) => isAmiss(pairs[i] as Pair),
  )
  const unavailable = pairs.filter(({ primary, mirror }) => failed(primary) && failed(mirror)).length
  const notes =
    unavailable > 0 ? [`${unavailable} primary segment(s) and their mirror(s) have both failed`] : []
  return { lines: [...head(state), ...lines, RULER, ...notes], exitStatus: pairs.some(isAmiss) ? 1 : 0 }
}
