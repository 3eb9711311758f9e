/**
 * The lines of a history: what clients asked and what they were told, in the words of Jepsen. An `invoke` opens an operation of a process, and at
 * most one of `ok` (it took effect), `fail` (it did not and never will) or `info` (nobody knows) closes it. The format is in docs/chaos.md.
 */

export const workloadNames = ['append', 'register', 'bank', 'set', 'schema', 'remade'] as const
export type WorkloadName = (typeof workloadNames)[number]

export type OpType = 'invoke' | 'ok' | 'fail' | 'info'

/** What JSON can carry. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

export interface Op {
  /** Place in the history, from 0 on. */
  readonly index: number
  /** Since the beginning of the run, on one monotonic clock, ms. */
  readonly timeMs: number
  /** Who: a process has one operation at a time, and none after an `info`. Faults are of process `nemesis`. */
  readonly process: number | 'nemesis'
  readonly type: OpType
  readonly workload: WorkloadName | 'nemesis'
  readonly f: string
  readonly value: Json
  /** The contents that it touches, where they are known before. */
  readonly contents?: readonly number[]
  /** Made after the faults, to see what has become of everything. */
  readonly final?: boolean
  readonly error?: string
}

/** One step of a list-append transaction: `['append', key, element]` or `['r', key, elements or null while not known]`. */
export type MicroOp = readonly ['append', number, number] | readonly ['r', number, readonly number[] | null]

/** An operation from its invocation to its end. */
export interface Call {
  readonly process: number
  readonly f: string
  readonly outcome: 'ok' | 'fail' | 'info'
  /** Where it was invoked and where it ended; Infinity for one of which nothing was heard. */
  readonly invokedAt: number
  readonly endedAt: number
  readonly invokedMs: number
  readonly endedMs: number
  /** As invoked. */
  readonly asked: Json
  /** As told; that of the invocation unless `ok`. */
  readonly told: Json
  readonly contents: readonly number[]
  readonly final: boolean
  readonly error: string
}

/** Joins the lines of one workload to operations, in the order of their invocation. Throws a RangeError on a history that is none. */
export function callsOf(ops: readonly Op[], workload: WorkloadName): Call[] {
  const calls: Call[] = []
  const open = new Map<number, { readonly op: Op; readonly place: number }>()
  for (const op of ops) {
    if (op.workload !== workload || typeof op.process !== 'number') continue
    if (op.type === 'invoke') {
      if (open.has(op.process))
        throw new RangeError(`line ${op.index}: process ${op.process} has an open operation already`)
      open.set(op.process, { op, place: calls.length })
      calls.push(callOf(op, op.process))
      continue
    }
    const begun = open.get(op.process)
    if (begun === undefined)
      throw new RangeError(`line ${op.index}: process ${op.process} ends what it did not begin`)
    open.delete(op.process)
    calls[begun.place] = callOf(begun.op, op.process, op)
  }
  return calls
}

function callOf(begun: Op, process: number, ended?: Op): Call {
  const outcome = ended === undefined || ended.type === 'invoke' ? 'info' : ended.type
  const isKnown = ended !== undefined && outcome !== 'info'
  return {
    process,
    f: begun.f,
    outcome,
    invokedAt: begun.index,
    endedAt: isKnown ? ended.index : Infinity,
    invokedMs: begun.timeMs,
    endedMs: isKnown ? ended.timeMs : Infinity,
    asked: begun.value,
    told: outcome === 'ok' && ended !== undefined ? ended.value : begun.value,
    contents: begun.contents ?? [],
    final: begun.final ?? false,
    error: ended?.error ?? '',
  }
}
