// Histories by hand: operations with the moments at which they begin and end, joined to the lines that a run would have written.
import type { Json, MicroOp, Op, WorkloadName } from '../../src/chaos/history/op.ts'

export interface Planned {
  readonly from: number
  readonly to: number
  readonly type?: 'ok' | 'fail' | 'info'
  readonly f: string
  readonly asked: Json
  readonly told?: Json
  readonly final?: boolean
}

/** Each operation is a process of its own. Times are ms, and give the order of the lines. */
export function historyOf(workload: WorkloadName, planned: readonly Planned[]): Op[] {
  const lines = planned.flatMap(({ from, to, type = 'ok', f, asked, told = asked, final }, process) => {
    const common = { process, workload, f, ...(final === true ? { final } : {}) }
    return [
      { ...common, timeMs: from, type: 'invoke' as const, value: asked },
      { ...common, timeMs: to, type, value: told },
    ]
  })
  return lines.sort((a, b) => a.timeMs - b.timeMs).map((line, index) => ({ index, ...line }))
}

/** A list-append transaction, as it was told. */
export function txn(
  from: number,
  to: number,
  told: readonly MicroOp[],
  more: { readonly type?: Planned['type']; readonly final?: boolean } = {},
): Planned {
  const asked = told.map((micro): MicroOp => (micro[0] === 'r' ? ['r', micro[1], null] : micro))
  return { from, to, f: 'txn', asked, told, ...more } as Planned
}

export const append = (key: number, element: number): MicroOp => ['append', key, element]
export const read = (key: number, ...elements: number[]): MicroOp => ['r', key, elements]

/** The kinds of anomalies, each once, in the order of their names. */
export function kinds(anomalies: readonly { readonly kind: string }[]): string[] {
  return [...new Set(anomalies.map(({ kind }) => kind))].sort()
}
