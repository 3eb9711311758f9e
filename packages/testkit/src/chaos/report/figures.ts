/** Figures of a run, computed from its history: availability, latency, faults, errors. Pure. */
import type { Op } from '../history/op.ts'

export const BUCKET_MS = 100

export interface Availability {
  readonly content: number
  /** For each 100 ms: was anything on this content alone acknowledged? */
  readonly buckets: readonly boolean[]
  /** Part of the buckets in which something was, 0 to 1. */
  readonly share: number
  readonly longestGap: { readonly fromMs: number; readonly ms: number }
}

export interface FaultShown {
  readonly name: string
  readonly what: string
  readonly fromMs: number
  readonly toMs: number
  readonly contents: readonly number[]
}

/** From the first fault of a round to the end of the healing. */
export interface Episode {
  readonly fromMs: number
  readonly toMs: number
  readonly faults: readonly string[]
  /** By content: was it hit, and its longest time without an acknowledgement. */
  readonly contents: readonly {
    readonly content: number
    readonly isHit: boolean
    readonly longestGapMs: number
  }[]
}

export interface LatencyPoint {
  readonly timeMs: number
  readonly count: number
  readonly medianMs: number
  readonly p99Ms: number
}

/** When operations on one content alone were acknowledged, by content. */
export function acksByContent(ops: readonly Op[], contents: number): number[][] {
  const acks: number[][] = Array.from({ length: contents }, () => [])
  for (const { type, contents: touched, timeMs } of ops) {
    if (type === 'ok' && touched?.length === 1) acks[touched[0] as number]?.push(timeMs)
  }
  return acks
}

export function availability(acks: readonly number[], content: number, toMs: number): Availability {
  const buckets = new Array<boolean>(Math.max(1, Math.ceil(toMs / BUCKET_MS))).fill(false)
  for (const timeMs of acks) {
    const bucket = Math.floor(timeMs / BUCKET_MS)
    if (bucket < buckets.length) buckets[bucket] = true
  }
  const share = buckets.filter(Boolean).length / buckets.length
  return { content, buckets, share, longestGap: longestGap(acks, 0, toMs) }
}

/** The longest time within a span in which nothing was acknowledged. `acks` in order. */
export function longestGap(
  acks: readonly number[],
  fromMs: number,
  toMs: number,
): { readonly fromMs: number; readonly ms: number } {
  let longest = { fromMs, ms: 0 }
  let before = fromMs
  for (const timeMs of [...acks.filter((ms) => ms > fromMs && ms < toMs), toMs]) {
    if (timeMs - before > longest.ms) longest = { fromMs: before, ms: timeMs - before }
    before = timeMs
  }
  return longest
}

/** The operations of the nemesis, each from when it was begun to when it was done. */
export function faultsOf(ops: readonly Op[]): FaultShown[] {
  const begun = new Map<string, number>()
  const shown: FaultShown[] = []
  for (const { workload, type, f, timeMs, value, contents } of ops) {
    if (workload !== 'nemesis') continue
    if (type === 'invoke') begun.set(f, timeMs)
    else {
      const fromMs = begun.get(f.replace(/-ended$/, '')) ?? timeMs
      shown.push({
        name: f,
        what: typeof value === 'string' ? value : '',
        fromMs,
        toMs: timeMs,
        contents: contents ?? [],
      })
    }
  }
  return shown
}

/** Rounds of faults, each up to the end of the healing that followed. */
export function episodesOf(
  faults: readonly FaultShown[],
  acks: readonly (readonly number[])[],
  endMs: number,
): Episode[] {
  const episodes: Episode[] = []
  let current: FaultShown[] = []
  const close = (toMs: number): void => {
    const [first] = current
    if (first === undefined) return
    const hit = new Set(current.flatMap(({ contents }) => contents))
    const contents = acks.map((times, content) => {
      return { content, isHit: hit.has(content), longestGapMs: longestGap(times, first.fromMs, toMs).ms }
    })
    episodes.push({ fromMs: first.fromMs, toMs, faults: current.map(({ what }) => what), contents })
    current = []
  }
  for (const fault of faults) {
    if (fault.name === 'heal') close(fault.toMs)
    else if (!fault.name.endsWith('-ended')) current.push(fault)
  }
  close(endMs)
  return episodes
}

/** Of everything that was acknowledged, a point a second. */
export function latencies(ops: readonly Op[]): LatencyPoint[] {
  const begun = new Map<Op['process'], number>()
  const bySecond = new Map<number, number[]>()
  for (const { type, process, timeMs, workload } of ops) {
    if (workload === 'nemesis') continue
    if (type === 'invoke') {
      begun.set(process, timeMs)
      continue
    }
    const from = begun.get(process)
    begun.delete(process)
    if (type !== 'ok' || from === undefined) continue
    const second = Math.floor(timeMs / 1000)
    const list = bySecond.get(second)
    if (list === undefined) bySecond.set(second, [timeMs - from])
    else list.push(timeMs - from)
  }
  return [...bySecond].map(([second, times]) => {
    times.sort((a, b) => a - b)
    const at = (part: number): number =>
      times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0
    return { timeMs: second * 1000, count: times.length, medianMs: at(0.5), p99Ms: at(0.99) }
  })
}

/** Distinct errors of refused and unknown operations, most frequent first. */
export function errorsOf(
  ops: readonly Op[],
): { readonly type: string; readonly error: string; readonly count: number }[] {
  const found = new Map<string, { type: string; error: string; count: number }>()
  for (const { type, error, workload } of ops) {
    if (error === undefined || workload === 'nemesis') continue
    const plain = error.replace(/\d+/g, 'N')
    const key = `${type} ${plain}`
    const known = found.get(key)
    if (known === undefined) found.set(key, { type, error: plain, count: 1 })
    else known.count += 1
  }
  return [...found.values()].sort((a, b) => b.count - a.count)
}
