/** What a checker found: something that a strictly serializable database which loses nothing cannot have answered. */
import type { WorkloadName } from '../history/op.ts'

export interface Anomaly {
  readonly workload: WorkloadName | 'cluster'
  /** A short name: `G1c`, `lost-append`, `not-linearizable`, … All are explained in docs/chaos.md. */
  readonly kind: string
  /** Why it cannot be, in one sentence. */
  readonly summary: string
  /** The evidence, a line each. */
  readonly story: readonly string[]
  /** When the evidence was seen, ms since the beginning of the run; what a picture marks. */
  readonly timesMs: readonly number[]
}

export interface Verdict {
  readonly workload: WorkloadName
  readonly anomalies: readonly Anomaly[]
  /** What could not be decided within the checker's limits. Not an anomaly, and not a proof. */
  readonly undecided: readonly string[]
  readonly counts: {
    readonly ok: number
    readonly fail: number
    readonly info: number
  }
}

/** At most so many of one kind are told; more would be the same again. */
export const MOST_OF_A_KIND = 20

/** The first of each kind, and how many there were of those that are many. */
export function fewOfEachKind(anomalies: readonly Anomaly[]): Anomaly[] {
  const seen = new Map<string, number>()
  const kept: Anomaly[] = []
  for (const anomaly of anomalies) {
    const count = (seen.get(anomaly.kind) ?? 0) + 1
    seen.set(anomaly.kind, count)
    if (count <= MOST_OF_A_KIND) kept.push(anomaly)
  }
  return kept.map((anomaly) => {
    const count = seen.get(anomaly.kind) ?? 0
    if (count <= MOST_OF_A_KIND) return anomaly
    return { ...anomaly, summary: `${anomaly.summary} (one of ${count} of this kind)` }
  })
}

/** ms as seconds for a story. */
export function seconds(ms: number): string {
  return ms === Infinity ? 'never' : `${(ms / 1000).toFixed(3)} s`
}

export function countOutcomes(
  calls: readonly { readonly outcome: 'ok' | 'fail' | 'info' }[],
): Verdict['counts'] {
  const counts = { ok: 0, fail: 0, info: 0 }
  for (const { outcome } of calls) counts[outcome] += 1
  return counts
}
