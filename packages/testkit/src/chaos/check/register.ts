/** Are the registers linearizable? Each key by itself: linearizability is local. Pure. */
import { callsOf, type Op } from '../history/op.ts'
import { countOutcomes, fewOfEachKind, seconds, type Anomaly, type Verdict } from './anomaly.ts'
import { linearize, type Linearization } from './linearize.ts'
import { registerCalls, type RegisterCall } from './register-calls.ts'

/** Operations of the order before the impossible one that are told. */
const TOLD = 12

export function checkRegister(ops: readonly Op[], mostSteps?: number): Verdict {
  const anomalies: Anomaly[] = []
  const undecided: string[] = []
  for (const [key, calls] of registerCalls(ops)) {
    const found = linearize(calls, mostSteps)
    if (found.is === 'impossible') anomalies.push(anomalyOf(key, calls, found))
    if (found.is === 'undecided')
      undecided.push(`register ${key}: ${calls.length} operations, given up after ${found.steps} steps`)
  }
  return {
    workload: 'register',
    anomalies: fewOfEachKind(anomalies),
    undecided,
    counts: countOutcomes(callsOf(ops, 'register')),
  }
}

function anomalyOf(
  key: number,
  calls: readonly RegisterCall[],
  { prefix, value, stuck }: Extract<Linearization, { is: 'impossible' }>,
): Anomaly {
  const open = calls.filter(
    (call) => call !== stuck && !prefix.includes(call) && call.invokedAt < stuck.endedAt,
  )
  return {
    workload: 'register',
    kind: 'not-linearizable',
    summary: `register ${key}: no order of the operations explains ${tell(stuck)}`,
    story: [
      ...(prefix.length > TOLD ? [`… ${prefix.length - TOLD} before`] : []),
      ...prefix.slice(-TOLD).map((call) => `then ${tell(call)}`),
      `the value is ${value} now, and next must be ${tell(stuck)}`,
      ...open.map((call) => `open meanwhile: ${tell(call)}`),
    ],
    timesMs: [stuck.invokedMs, stuck.endedMs],
  }
}

function tell({ process, action, isKnown, invokedMs, endedMs }: RegisterCall): string {
  const what =
    action.f === 'read'
      ? `read ${action.seen}`
      : action.f === 'write'
        ? `write ${action.to}`
        : `cas ${action.from} → ${action.to}${!isKnown ? '' : action.swapped ? ' (swapped)' : ' (refused)'}`
  return `${what} by process ${process}, ${seconds(invokedMs)} to ${isKnown ? seconds(endedMs) : 'unknown'}`
}
