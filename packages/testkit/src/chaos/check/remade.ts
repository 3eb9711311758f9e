/** Is each row found by one key as by the other, once when it was written and never when that was refused? Pure. */
import { callsOf, type Call, type Op } from '../history/op.ts'
import { countOutcomes, fewOfEachKind, seconds, type Anomaly, type Verdict } from './anomaly.ts'

interface Found {
  readonly ids: readonly number[]
  /** By `x` and by `y`. */
  readonly counts: readonly (readonly [number, number])[]
}

export function checkRemade(ops: readonly Op[]): Verdict {
  const calls = callsOf(ops, 'remade')
  const puts = new Map<number, Call>()
  for (const call of calls) if (call.f === 'put') for (const id of call.asked as number[]) puts.set(id, call)
  const finds = calls.filter(({ f, outcome }) => f === 'find' && outcome === 'ok')
  const undecided = finds.some(({ final }) => final) ? [] : ['remade: there is no final look']
  const anomalies = fewOfEachKind(finds.flatMap((find) => findAnomalies(find, puts)))
  return { workload: 'remade', anomalies, undecided, counts: countOutcomes(calls) }
}

function findAnomalies(find: Call, puts: ReadonlyMap<number, Call>): Anomaly[] {
  const { ids, counts } = find.told as unknown as Found
  return ids.flatMap((id, i): Anomaly[] => {
    const put = puts.get(id)
    const kind = kindOf(counts[i] as [number, number], put, find)
    if (kind === undefined) return []
    const [byX, byY] = counts[i] as [number, number]
    const summary = `row ${id} was found ${byX} times by x and ${byY} times by y at ${seconds(find.endedMs)}`
    const story =
      put === undefined
        ? []
        : [
            `written from ${seconds(put.invokedMs)} on: ${put.outcome} at ${seconds(put.endedMs)} ${put.error}`,
          ]
    return [{ workload: 'remade', kind, summary, story: [summary, ...story], timesMs: [find.endedMs] }]
  })
}

function kindOf(
  [byX, byY]: readonly [number, number],
  put: Call | undefined,
  find: Call,
): string | undefined {
  if (Math.max(byX, byY) > 1) return 'doubled'
  if (put === undefined || put.outcome === 'fail') return byX + byY > 0 ? 'appeared' : undefined
  // The two were looked for one after the other: only what can not change any more says something.
  const isSettled = find.final || put.endedAt < find.invokedAt
  if (isSettled && byX !== byY) return 'misplaced'
  return put.outcome === 'ok' && isSettled && byX === 0 ? 'lost' : undefined
}
