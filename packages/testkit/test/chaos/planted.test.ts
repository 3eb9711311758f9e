// A history of a real run, with kills in it, is right; with one lie put into it, each checker finds the lie.
import t from 'tap'
import { fileURLToPath } from 'node:url'
import { checkHistory } from '../../src/chaos/check/check-history.ts'
import { initialBalances } from '../../src/chaos/clients/bank-workload.ts'
import { readHistory } from '../../src/chaos/history/history.ts'
import type { Json, MicroOp, Op, WorkloadName } from '../../src/chaos/history/op.ts'
import { kinds } from '../support/histories.ts'

const recorded = await readHistory(fileURLToPath(new URL('../support/recorded-run.jsonl', import.meta.url)))
const bank = { initial: initialBalances, allowNegative: false }
const anomalies = (ops: readonly Op[]) =>
  checkHistory(ops, bank).flatMap(({ workload, anomalies }) =>
    anomalies.map((anomaly) => ({ ...anomaly, kind: `${workload} ${anomaly.kind}` })),
  )

t.test('the recorded history is right, and decided', async (t) => {
  const verdicts = checkHistory(recorded, bank)
  t.same(
    verdicts.flatMap(({ anomalies, undecided }) => [...anomalies, ...undecided]),
    [],
  )
  t.same(
    verdicts.map(({ workload }) => workload),
    ['append', 'register', 'bank', 'set'],
  )
  for (const { workload, counts } of verdicts) t.ok(counts.ok > 50, `${workload}: ${JSON.stringify(counts)}`)
  t.ok(
    verdicts.some(({ counts }) => counts.info > 0),
    'there are unknown operations in it',
  )
})

/** The lines of which `which` is true, changed. */
function lie(which: (op: Op) => boolean, change: (value: Json, op: Op) => Json): Op[] {
  return recorded.map((op) => (which(op) ? { ...op, value: change(op.value, op) } : op))
}
const ok = (workload: WorkloadName, f: string) => (op: Op) =>
  op.workload === workload && op.f === f && op.type === 'ok'
const isFinal = (op: Op): boolean => op.final === true
const micros = (value: Json): readonly MicroOp[] => value as readonly MicroOp[]

/** The longest list that the final reads show, and an element in its middle. */
const lists = recorded
  .filter((op) => ok('append', 'txn')(op) && isFinal(op))
  .flatMap((op) => micros(op.value))
const [, key, elements] = lists.reduce((a, b) =>
  (b[0] === 'r' ? (b[2]?.length ?? 0) : 0) > (a[0] === 'r' ? (a[2]?.length ?? 0) : 0) ? b : a,
) as ['r', number, number[]]
const changeList =
  (change: (list: readonly number[]) => readonly number[]) =>
  (value: Json): Json =>
    micros(value).map((micro) =>
      micro[0] === 'r' && micro[1] === key ? ['r', key, change(micro[2] ?? [])] : micro,
    )

t.test('list-append', async (t) => {
  const middle = elements[Math.floor(elements.length / 2)] as number
  const everywhere = ok('append', 'txn')
  const atEnd = (op: Op): boolean => everywhere(op) && isFinal(op)
  const without = changeList((list) => list.filter((one) => one !== middle))
  t.ok(kinds(anomalies(lie(everywhere, without))).includes('append lost-append'), 'an append that is lost')
  t.ok(
    kinds(
      anomalies(
        lie(
          atEnd,
          changeList((list) => list.slice(0, -1)),
        ),
      ),
    ).some((kind) => /append (G-single-realtime|lost-append|incompatible-order)/.test(kind)),
    'a final read that is stale',
  )
  const swap = changeList((list) => [...list.slice(0, -2), ...list.slice(-2).reverse()])
  t.ok(kinds(anomalies(lie(atEnd, swap))).includes('append incompatible-order'), 'two in another order')
  t.ok(
    kinds(
      anomalies(
        lie(
          atEnd,
          changeList((list) => [...list, middle]),
        ),
      ),
    ).includes('append duplicate-element'),
    'one doubled',
  )
  const appender = recorded.find((op) => {
    return (
      everywhere(op) &&
      micros(op.value).some(([f, of, one]) => f === 'append' && of === key && one === middle)
    )
  })
  const refused = recorded.map((op) => (op === appender ? { ...op, type: 'fail' as const } : op))
  t.ok(kinds(anomalies(refused)).includes('append G1a'), 'what was refused is seen')
})

t.test('registers', async (t) => {
  const reads = recorded.filter(ok('register', 'read'))
  const keyOf = (op: Op): number => (op.value as { readonly key: number }).key
  const seen = (op: Op): number | null => (op.value as { readonly seen: number | null }).seen
  const last = reads.filter(isFinal).find((op) => seen(op) !== null) as Op
  const earlier = reads.find(
    (op) => keyOf(op) === keyOf(last) && seen(op) !== null && seen(op) !== seen(last),
  ) as Op
  const stale = lie(
    (op) => op === last,
    () => ({ key: keyOf(last), seen: seen(earlier) }),
  )
  t.same(kinds(anomalies(stale)), ['register not-linearizable'], 'a final read of an old value')
  const swapped = recorded.find(
    (op) => ok('register', 'cas')(op) && (op.value as { swapped: boolean }).swapped,
  )
  const denied = lie(
    (op) => op === swapped,
    (value) => ({ ...(value as object), swapped: false }),
  )
  t.same(kinds(anomalies(denied)), ['register not-linearizable'], 'a compare-and-set that was denied')
})

t.test('the bank', async (t) => {
  const reads = recorded.filter(ok('bank', 'read'))
  const middle = reads[Math.floor(reads.length / 2)]
  const more = lie(
    (op) => op === middle,
    (value) => {
      const balances = value as Readonly<Record<string, number>>
      return { ...balances, 0: (balances[0] ?? 0) + 1 }
    },
  )
  t.same(kinds(anomalies(more)), ['bank wrong-total'])
  const transfer = recorded.findLast(ok('bank', 'transfer')) as Op
  const undone = lie(
    (op) => op.workload === 'bank' && isFinal(op) && op.type === 'ok',
    (value) => {
      const { from, to, amount } = transfer.value as { from: number; to: number; amount: number }
      const balances = value as Readonly<Record<string, number>>
      return { ...balances, [from]: (balances[from] ?? 0) + amount, [to]: (balances[to] ?? 0) - amount }
    },
  )
  t.match(
    kinds(anomalies(undone)).join(),
    /bank (lost-transfer|negative-balance)/,
    'a transfer lost as a whole',
  )
})

t.test('the set', async (t) => {
  const atEnd = (op: Op): boolean => op.workload === 'set' && isFinal(op) && op.type === 'ok'
  const acknowledged = recorded.filter(ok('set', 'add')).map((op) => op.value as readonly number[])
  const one = acknowledged.find((ids) => ids.length === 1)?.[0] as number
  const change = (seen: (ids: readonly number[]) => readonly number[]) =>
    lie(atEnd, (value) => {
      const told = value as { readonly above: number; readonly seen: readonly number[] }
      return { ...told, seen: seen(told.seen) }
    })
  t.same(kinds(anomalies(change((ids) => ids.filter((id) => id !== one)))), ['set lost'])
  t.same(kinds(anomalies(change((ids) => [...ids, one]))), ['set doubled'])
  t.same(kinds(anomalies(change((ids) => [...ids, 1_000_000]))), ['set appeared'])
})
