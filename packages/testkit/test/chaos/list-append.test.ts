// The checker of list-append transactions: what is right passes, each anomaly is found and called by its name.
import t from 'tap'
import { checkListAppend } from '../../src/chaos/check/list-append.ts'
import { append, historyOf, kinds, read, txn, type Planned } from '../support/histories.ts'

const found = (planned: readonly Planned[]) => checkListAppend(historyOf('append', planned)).anomalies
const last = (...told: Parameters<typeof txn>[2]) => txn(1_000, 1_001, told, { final: true })

t.test('a history that some order in real time explains is right', async (t) => {
  const good = [
    txn(0, 10, [append(1, 1), append(2, 1)]),
    txn(5, 15, [append(1, 2), read(2, 1)]),
    txn(12, 20, [read(1, 1, 2), append(1, 3), read(1, 1, 2, 3)]),
    txn(13, 14, [read(1, 1), read(2, 1)]),
    last(read(1, 1, 2, 3), read(2, 1)),
  ]
  t.same(found(good), [])
  t.same(checkListAppend(historyOf('append', good)).counts, { ok: 5, fail: 0, info: 0 })
})

t.test('an unknown transaction may have happened late, or never', async (t) => {
  const unknown = txn(0, 10, [append(1, 1)], { type: 'info' })
  t.same(found([unknown, txn(20, 30, [read(1)]), last(read(1, 1))]), [])
  t.same(found([unknown, txn(20, 30, [read(1)]), last(read(1))]), [])
  t.same(kinds(found([unknown, txn(20, 30, [read(1, 1)]), last(read(1))])), ['G-single-realtime'])
})

t.test('G0: two transactions write two lists in opposite orders', async (t) => {
  const all = found([
    txn(0, 10, [append(1, 1), append(2, 1)]),
    txn(0, 10, [append(1, 2), append(2, 2)]),
    last(read(1, 1, 2), read(2, 2, 1)),
  ])
  t.same(kinds(all), ['G0'])
  t.match(all[0]?.story.join('\n'), /appended 1 to 1, directly before the 2/)
  t.match(all[0]?.summary, /T0 before T1 before T0|T1 before T0 before T1/)
})

t.test('G1a: what a refused transaction wrote is seen', async (t) => {
  const all = found([txn(0, 10, [append(1, 1)], { type: 'fail' }), last(read(1, 1))])
  t.same(kinds(all), ['G1a'])
})

t.test('G1b: a transaction is seen in its middle', async (t) => {
  const all = found([txn(0, 10, [append(1, 1), append(1, 2)]), txn(2, 8, [read(1, 1)]), last(read(1, 1, 2))])
  t.ok(kinds(all).includes('G1b'), kinds(all).join())
})

t.test('G1c: two transactions each see what the other wrote', async (t) => {
  const all = found([
    txn(0, 10, [append(1, 1), read(2, 1)]),
    txn(0, 10, [append(2, 1), read(1, 1)]),
    last(read(1, 1), read(2, 1)),
  ])
  t.same(kinds(all), ['G1c'])
})

t.test('G-single: a reader sees one half of a transaction', async (t) => {
  const all = found([
    txn(0, 10, [append(1, 1), append(2, 1)]),
    txn(0, 10, [read(1, 1), read(2)]),
    last(read(1, 1), read(2, 1)),
  ])
  t.same(kinds(all), ['G-single'])
  t.match(all[0]?.story.join('\n'), /without the 1 of T0/)
})

t.test('G2: write skew, each misses what the other wrote', async (t) => {
  const all = found([
    txn(0, 10, [read(1), append(2, 1)]),
    txn(0, 10, [read(2), append(1, 1)]),
    last(read(1, 1), read(2, 1)),
  ])
  t.same(kinds(all), ['G2'])
})

t.test('a read that is older than what was acknowledged before it began is stale', async (t) => {
  const all = found([txn(0, 10, [append(1, 1)]), txn(20, 30, [read(1)]), last(read(1, 1))])
  t.same(kinds(all), ['G-single-realtime'])
  t.match(all[0]?.story.join('\n'), /had ended at 0\.010 s, before/)
  t.same(
    found([txn(0, 25, [append(1, 1)]), txn(20, 30, [read(1)]), last(read(1, 1))]),
    [],
    'but not beside it',
  )
})

t.test('the order of real time is looked at through any number of transactions between', async (t) => {
  const between = Array.from({ length: 6 }, (_, i) => txn(11 + 2 * i, 12 + 2 * i, [append(9, i + 1)]))
  const all = found([
    txn(0, 10, [append(1, 1)]),
    ...between,
    txn(40, 50, [read(1)]),
    last(read(1, 1), read(9, 1, 2, 3, 4, 5, 6)),
  ])
  t.same(kinds(all), ['G-single-realtime'])
})

t.test('an acknowledged append that nobody sees any more is lost', async (t) => {
  const all = found([txn(0, 10, [append(1, 1)]), txn(20, 30, [append(1, 2)]), last(read(1, 2))])
  t.same(kinds(all), ['lost-append'])
  t.match(all[0]?.summary, /1 was acknowledged for 1/)
})

t.test('reads that do not agree on an order, and what was seen and is gone, are incompatible', async (t) => {
  const both = [txn(0, 10, [append(1, 1)]), txn(0, 10, [append(1, 2)])]
  t.same(kinds(found([...both, txn(11, 12, [read(1, 2, 1)]), last(read(1, 1, 2))])), ['incompatible-order'])
})

t.test('elements that are doubled or come from nowhere are found', async (t) => {
  t.same(kinds(found([txn(0, 10, [append(1, 1)]), last(read(1, 1, 1))])), ['duplicate-element'])
  t.same(kinds(found([txn(0, 10, [append(1, 1)]), last(read(1, 1, 7))])), ['appeared'])
})

t.test('a transaction that does not see its own work is found', async (t) => {
  const own = txn(0, 10, [append(1, 1), read(1)])
  t.ok(kinds(found([own, last(read(1, 1))])).includes('internal'))
  const changing = txn(20, 40, [read(1, 1), read(1, 1, 2)])
  t.ok(
    kinds(
      found([txn(0, 10, [append(1, 1)]), txn(21, 30, [append(1, 2)]), changing, last(read(1, 1, 2))]),
    ).includes('internal'),
    'or sees the work of others change in its middle',
  )
})

t.test('an element that is appended twice by the clients is an error of the history', async (t) => {
  t.throws(() => found([txn(0, 1, [append(1, 1)]), txn(2, 3, [append(1, 1)])]), /1 is appended to 1 twice/)
})

t.test('a history without a final read proves nothing about the end, and says so', async (t) => {
  const { undecided } = checkListAppend(historyOf('append', [txn(0, 1, [append(1, 1)])]))
  t.same(undecided, ['append: there is no final read'])
})
