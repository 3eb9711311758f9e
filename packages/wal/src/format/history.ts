/**
 * Timeline histories. A history lists the ancestors of a timeline, oldest first, each with the LSN where its successor forked off:
 * WAL of timeline t counts from the end of its parent up to its own end.
 */
import { formatLsn, isLsn, MirabelleError, parseLsn } from '@mirabelle/messages'
import type { HistoryEntry, Lsn, Timeline } from '@mirabelle/messages'

const MAX_HISTORY_TEXT = 1024 * 1024

/** Parses a history file. Throws `datadir.broken` that names the line. */
export function parseHistory(text: string, timeline: Timeline): HistoryEntry[] {
  const bad = (line: string, why: string): MirabelleError =>
    new MirabelleError(
      'datadir.broken',
      `history of timeline ${timeline}: ${why}: ${JSON.stringify(line.slice(0, 80))}`,
    )
  if (text.length > MAX_HISTORY_TEXT) throw bad('', `longer than ${MAX_HISTORY_TEXT} characters`)
  const entries: HistoryEntry[] = []
  for (const line of text.split('\n')) {
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#')) continue
    const match = /^(\d{1,10})\s+([0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8})(\s|$)/.exec(trimmed)
    if (match === null) throw bad(line, 'expected a timeline and an LSN')
    const entry = { timeline: Number(match[1]), end: lsnIn(match[2] as string) }
    if (!isLsn(entry.end)) throw bad(line, 'the LSN is beyond what is supported')
    const last = entries.at(-1)
    if (entry.timeline < 1 || (last !== undefined && entry.timeline <= last.timeline))
      throw bad(line, 'timelines must grow')
    if (last !== undefined && entry.end < last.end) throw bad(line, 'a timeline cannot end before it began')
    entries.push(entry)
  }
  const last = entries.at(-1)
  if (last !== undefined && last.timeline >= timeline)
    throw bad(String(last.timeline), 'an ancestor must be older than the timeline itself')
  return entries
}

/** The LSN in a text of the right form; NaN beyond the largest one that is supported. */
function lsnIn(text: string): Lsn {
  try {
    return parseLsn(text)
  } catch (error) {
    if (error instanceof RangeError) return Number.NaN
    throw error
  }
}

/** The text of a history file. */
export function formatHistory(entries: readonly HistoryEntry[], reason = 'promoted'): string {
  return entries.map((entry) => `${entry.timeline}\t${formatLsn(entry.end)}\t${reason}\n`).join('')
}

/** Where the successor of `timeline` forked off; undefined when `timeline` is not in the history. */
export function forkPoint(history: readonly HistoryEntry[], timeline: Timeline): Lsn | undefined {
  return history.find((entry) => entry.timeline === timeline)?.end
}

/** True when `ancestor` is the timeline itself or in its history. */
export function isAncestor(
  history: readonly HistoryEntry[],
  timeline: Timeline,
  ancestor: Timeline,
): boolean {
  return ancestor === timeline || history.some((entry) => entry.timeline === ancestor)
}

/** One timeline's share of a history. */
export interface TimelineSpan {
  readonly timeline: Timeline
  readonly begin: Lsn
  /** Infinity for the newest. */
  readonly end: Lsn
}

/** The spans of a timeline and its ancestors, oldest first, without a gap. */
export function timelineSpans(history: readonly HistoryEntry[], timeline: Timeline): TimelineSpan[] {
  const spans: TimelineSpan[] = []
  let begin = 0
  for (const entry of history) {
    spans.push({ timeline: entry.timeline, begin, end: entry.end })
    begin = entry.end
  }
  spans.push({ timeline, begin, end: Infinity })
  return spans
}

/**
 * The timeline in whose segment file the byte at `lsn` is kept: the newest one that has begun in that segment or before. The first
 * segment of a timeline repeats what its ancestors wrote in that segment, as PostgreSQL does it.
 */
export function fileTimeline(spans: readonly TimelineSpan[], lsn: Lsn, segmentSize: number): Timeline {
  const segment = Math.floor(lsn / segmentSize)
  let found = (spans[0] as TimelineSpan).timeline
  for (const span of spans) {
    if (Math.floor(span.begin / segmentSize) <= segment) found = span.timeline
  }
  return found
}
