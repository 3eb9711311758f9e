/** What a run comes to, as `summary.json` and `--json` have it and the report shows it. Pure. */
import type { Anomaly, Verdict } from '../check/anomaly.ts'
import type { Op } from '../history/op.ts'
import type { WalSample } from '../watch/wal-sampler.ts'
import {
  acksByContent,
  availability,
  episodesOf,
  errorsOf,
  faultsOf,
  latencies,
  type Availability,
  type Episode,
  type FaultShown,
  type LatencyPoint,
} from './figures.ts'

export interface RunSummary {
  readonly seed: number
  readonly minutes: number
  readonly contents: number
  /** When the last fault was healed, ms since the beginning. */
  readonly faultsEndMs: number
  readonly endMs: number
  readonly verdicts: readonly Verdict[]
  readonly anomalies: readonly Anomaly[]
  readonly availability: readonly Availability[]
  readonly faults: readonly FaultShown[]
  readonly episodes: readonly Episode[]
  readonly latencies: readonly LatencyPoint[]
  readonly errors: ReturnType<typeof errorsOf>
  /** Most memory of each instance that was seen, bytes by dbid. */
  readonly mostMemory: Readonly<Record<string, number>>
}

export interface RunFacts {
  readonly seed: number
  readonly minutes: number
  readonly contents: number
  readonly ops: readonly Op[]
  readonly wal: readonly WalSample[]
  readonly verdicts: readonly Verdict[]
  readonly anomalies: readonly Anomaly[]
  readonly faultsEndMs: number
}

export function summarize(facts: RunFacts): RunSummary {
  const { seed, minutes, contents, ops, wal, verdicts, anomalies, faultsEndMs } = facts
  const acks = acksByContent(ops, contents)
  const faults = faultsOf(ops)
  const mostMemory: Record<string, number> = {}
  for (const { dbid, rssBytes } of wal) mostMemory[dbid] = Math.max(mostMemory[dbid] ?? 0, rssBytes)
  return {
    seed,
    minutes,
    contents,
    faultsEndMs,
    endMs: ops.at(-1)?.timeMs ?? 0,
    verdicts,
    anomalies,
    availability: acks.map((times, content) => availability(times, content, faultsEndMs)),
    faults,
    episodes: episodesOf(faults, acks, faultsEndMs),
    latencies: latencies(ops),
    errors: errorsOf(ops),
    mostMemory,
  }
}

/** The whole run in a few lines. */
export function summaryLines(summary: RunSummary): string[] {
  const { verdicts, anomalies, availability: contents, episodes, faults } = summary
  const untouched = episodes.flatMap((episode) => episode.contents.filter(({ isHit }) => !isHit))
  const worst = Math.max(0, ...untouched.map(({ longestGapMs }) => longestGapMs))
  return [
    ...verdicts.map(({ workload, counts, anomalies: found, undecided }) => {
      const open = undecided.length === 0 ? '' : `; not decided: ${undecided.join('; ')}`
      return `${workload.padEnd(8)} ${counts.ok} ok, ${counts.fail} refused, ${counts.info} unknown: ${found.length} anomalies${open}`
    }),
    ...contents.map(({ content, share, longestGap }) => {
      return `content ${content}: available in ${(share * 100).toFixed(1)} % of all 100 ms, longest gap ${Math.round(longestGap.ms)} ms at ${(longestGap.fromMs / 1000).toFixed(1)} s`
    }),
    `longest gap of a content that no fault had hit: ${Math.round(worst)} ms`,
    `seed ${summary.seed}: ${faults.filter(({ name }) => name !== 'heal' && !name.endsWith('-ended')).length} faults, ${anomalies.length} anomalies`,
  ]
}
