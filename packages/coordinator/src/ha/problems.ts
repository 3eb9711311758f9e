/**
 * What is not as it should be, in plain sentences, each with the command that mends it or the word that it mends itself. Pure: made from what
 * `collectState` has collected.
 */
import { doesItsPart, type ClusterState, type InstanceStateRow } from '@mirabelle/messages'

/** WAL that a mirror or the standby lacks, or has not replayed, before `state` says so, bytes. */
const LAG_WORTH_TELLING = 256 * 1024 * 1024
const MIB = 1024 * 1024
/** Less room on a disk than this is told, bytes. */
const ROOM_WORTH_TELLING = 64 * MIB

export interface ProblemSources {
  readonly instances: readonly InstanceStateRow[]
  readonly standby: ClusterState['cluster']['standby']
  /** What FTS advises, by content. */
  readonly advice: readonly (readonly [content: number, sentence: string])[]
  readonly inDoubt: readonly string[]
  /** Hosts whose agent does not answer. */
  readonly silentAgents: readonly string[]
}

/** The sentences; none for a cluster that is as it should be. */
export function problemsOf(sources: ProblemSources): string[] {
  const { instances, advice, inDoubt, silentAgents } = sources
  const segments = instances.filter(({ content }) => content >= 0)
  return [
    ...instances.flatMap(diskProblems),
    ...segments.flatMap((row) => [...instanceProblems(row), ...pairProblems(row, segments)]),
    ...advice.flatMap(([content, sentence]) => (sentence === '' ? [] : [`content ${content}: ${sentence}`])),
    ...standbyProblems(sources),
    ...silentAgents.map(
      (host) =>
        `the agent of ${host} does not answer: nothing can be started, stopped or fenced there; on this machine run "mirabelle start", elsewhere start its service`,
    ),
    ...inDoubtProblems(inDoubt),
  ]
}

const who = (row: InstanceStateRow): string =>
  `dbid ${row.dbid} (content ${row.content}, ${row.host}:${row.port})`

/** Hardly any room is left: the WAL segment that cannot be made any more ends the instance. */
function diskProblems(row: InstanceStateRow): string[] {
  if (row.disk_free === null || row.disk_free >= ROOM_WORTH_TELLING) return []
  return [
    `${who(row)} has ${megabytes(row.disk_free)} left on the disk of ${row.datadir}: make room there, or statements fail (53100) and the instance ends; with room all goes on by itself`,
  ]
}

/** What is wrong with the process of a row. */
function instanceProblems(row: InstanceStateRow): string[] {
  const why = row.detail === '' ? '' : ` (${row.pid === null ? 'it ended: ' : ''}${row.detail})`
  if (row.status === 'd') return [`${who(row)} is marked down${why}: run "mirabelle recover"`]
  if (row.pid === null) return [`${who(row)} does not answer${why}: run "mirabelle start"`]
  return serves(row) ? [] : [`${who(row)} ${doing(row)}`]
}

function serves(row: InstanceStateRow): boolean {
  return row.state === null || doesItsPart(row)
}

function doing({ state, detail, role }: InstanceStateRow): string {
  const reason = detail === '' ? '' : `: ${detail}`
  switch (state) {
    case 'unfit':
      return `cannot follow its primary${reason}; run "mirabelle recover --differential"`
    case 'fenced':
      return `was replaced and serves no more${reason}; run "mirabelle recover"`
    case 'copying':
      return `is being copied${reason}; it goes on by itself`
    case 'failed':
      return `has failed${reason}; run "mirabelle start", then "mirabelle recover"`
    default:
      return `should be ${role === 'p' ? 'primary' : 'mirror'} and is ${state ?? 'unknown'}${reason}; if that lasts, run "mirabelle fts-probe" and look into its log`
  }
}

/** What is wrong between an acting primary and its mirror. */
function pairProblems(row: InstanceStateRow, segments: readonly InstanceStateRow[]): string[] {
  if (row.role !== 'p') return []
  const problems: string[] = []
  if (row.preferred_role !== 'p')
    problems.push(
      `${who(row)} acts as primary but is preferred as mirror: run "mirabelle rebalance" when the pair is in sync`,
    )
  const mirror = segments.find(({ content, role }) => content === row.content && role === 'm')
  if (row.status !== 'u' || mirror?.status !== 'u') return problems
  if (row.mode === 'n')
    problems.push(`content ${row.content} is not in sync yet: its mirror is catching up${behind(row)}`)
  else if (row.sync_rep === false)
    problems.push(
      `content ${row.content} is in sync, but its commits do not wait for the mirror: run "mirabelle fts-probe"`,
    )
  return [...problems, ...replayProblems(row, `the mirror dbid ${mirror.dbid} of content ${row.content}`)]
}

function behind(primary: InstanceStateRow): string {
  const stream = primary.replication
  if (stream === null) return ''
  return `, ${megabytes(stream.sentLsn - stream.flushLsn)} behind`
}

/** WAL that is safe but not replayed: a failover takes as long as its replay. */
function replayProblems(primary: InstanceStateRow, mirror: string): string[] {
  const stream = primary.replication
  if (stream === null || stream.flushLsn - stream.replayLsn < LAG_WORTH_TELLING) return []
  const lag = megabytes(stream.flushLsn - stream.replayLsn)
  return [
    `${mirror} has ${lag} of WAL to replay, and a failover to it would take as long: nothing is lost; it mends itself when there is less to write`,
  ]
}

function standbyProblems({ standby, instances }: ProblemSources): string[] {
  const coordinator = instances.find(({ content, role }) => content === -1 && role === 'p')
  const row = instances.find(({ content, role }) => content === -1 && role === 'm')
  if (standby === 'down') {
    const why = row?.pid === null && row.detail !== '' ? ` (it ended: ${row.detail})` : ''
    return [`the standby coordinator is not streaming${why}: run "mirabelle standby resync"`]
  }
  if (coordinator === undefined || row === undefined) return []
  if (standby === 'catchup')
    return [
      `the standby coordinator is catching up${behind(coordinator)}: commits do not wait for it until it has caught up; it goes on by itself`,
    ]
  return replayProblems(coordinator, `the standby coordinator dbid ${row.dbid}`)
}

function inDoubtProblems(inDoubt: readonly string[]): string[] {
  if (inDoubt.length === 0) return []
  const some = inDoubt.slice(0, 5).join(', ')
  return [
    `${inDoubt.length} distributed transaction(s) in doubt until all their contents are back: ${some}; run "mirabelle start"`,
  ]
}

function megabytes(bytes: number): string {
  return bytes < MIB ? `${Math.max(0, bytes)} bytes` : `${Math.round(bytes / MIB)} MB`
}
