/** The register workload as a checker needs it: the operations of each key, with what they did and saw. */
import { callsOf, type Call, type Json, type Op } from '../history/op.ts'

export type RegisterAction =
  | { readonly f: 'read'; readonly seen: number | null }
  | { readonly f: 'write'; readonly to: number }
  | { readonly f: 'cas'; readonly from: number; readonly to: number; readonly swapped: boolean }

export interface RegisterCall {
  readonly process: number
  readonly action: RegisterAction
  /** False: it may have taken effect at any time after its invocation, or never. */
  readonly isKnown: boolean
  readonly invokedAt: number
  readonly endedAt: number
  readonly invokedMs: number
  readonly endedMs: number
}

/** Refused operations and reads without an answer did nothing and say nothing: they are left out. */
export function registerCalls(ops: readonly Op[]): Map<number, RegisterCall[]> {
  const byKey = new Map<number, RegisterCall[]>()
  for (const call of callsOf(ops, 'register')) {
    if (call.outcome === 'fail' || (call.f === 'read' && call.outcome === 'info')) continue
    const value = call.told as { readonly [name: string]: Json }
    const key = value['key'] as number
    const { process, invokedAt, endedAt, invokedMs, endedMs } = call
    const one: RegisterCall = {
      process,
      action: actionOf(call, value),
      isKnown: call.outcome === 'ok',
      invokedAt,
      endedAt,
      invokedMs,
      endedMs,
    }
    const list = byKey.get(key)
    if (list === undefined) byKey.set(key, [one])
    else list.push(one)
  }
  return byKey
}

function actionOf({ f }: Call, value: { readonly [name: string]: Json }): RegisterAction {
  if (f === 'read') return { f, seen: value['seen'] as number | null }
  if (f === 'write') return { f, to: value['to'] as number }
  if (f === 'cas')
    return {
      f,
      from: value['from'] as number,
      to: value['to'] as number,
      // Of an unknown one the attempt is all that is known: when it happens, it swaps if it can.
      swapped: value['swapped'] !== false,
    }
  throw new RangeError(`a register has no operation ${f}`)
}
