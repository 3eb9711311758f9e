/** Names of WAL segment files (24 hexadecimal digits) and of timeline history files, as PostgreSQL has them. */
import type { Lsn, Timeline } from '@mirabelle/messages'

const HIGH = 2 ** 32
const hex8 = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0')

/** Name of the segment file that holds the byte at `lsn`. */
export function walFileName(timeline: Timeline, lsn: Lsn, segmentSize: number): string {
  const segment = Math.floor(lsn / segmentSize)
  const perId = HIGH / segmentSize
  return hex8(timeline) + hex8(Math.floor(segment / perId)) + hex8(segment % perId)
}

/** What the name of a segment file says; undefined when it is not one (wrong form, or a number that this segment size cannot have). */
export function parseWalFileName(
  name: string,
  segmentSize: number,
): { readonly timeline: Timeline; readonly start: Lsn } | undefined {
  if (!/^[0-9A-F]{24}$/.test(name)) return undefined
  const timeline = Number.parseInt(name.slice(0, 8), 16)
  const id = Number.parseInt(name.slice(8, 16), 16)
  const segment = Number.parseInt(name.slice(16), 16)
  const perId = HIGH / segmentSize
  const start = (id * perId + segment) * segmentSize
  if (timeline === 0 || segment >= perId || !Number.isSafeInteger(start)) return undefined
  return { timeline, start }
}

/** Name of the history file of a timeline. */
export function historyFileName(timeline: Timeline): string {
  return `${hex8(timeline)}.history`
}

/** The timeline of a history file; undefined when the name is not one's. */
export function parseHistoryFileName(name: string): Timeline | undefined {
  const match = /^([0-9A-F]{8})\.history$/.exec(name)
  const timeline = match === null ? 0 : Number.parseInt(match[1] as string, 16)
  return timeline === 0 ? undefined : timeline
}
