// The checker of the table that is made anew: a row is found by each of its keys, once, or by none.
import t from 'tap'
import { checkRemade } from '../../src/chaos/check/remade.ts'
import { historyOf, kinds, type Planned } from '../support/histories.ts'

const put = (at: number, id: number, type: Planned['type'] = 'ok'): Planned => ({
  from: at,
  to: at + 1,
  type,
  f: 'put',
  asked: [id],
})
const find = (at: number, id: number, counts: readonly [number, number], final = false): Planned => ({
  from: at,
  to: at + 1,
  f: 'find',
  asked: [id],
  told: { ids: [id], counts: [counts] },
  final,
})
const found = (...planned: readonly Planned[]) => kinds(checkRemade(historyOf('remade', planned)).anomalies)

t.test(
  'what was written is found by both, what was refused by none; what is unknown or going on may be',
  async (t) => {
    t.same(found(put(0, 1), find(2, 1, [1, 1]), find(4, 1, [1, 1], true)), [])
    t.same(found(put(0, 1, 'fail'), find(2, 1, [0, 0])), [])
    t.same(found(put(0, 1, 'info'), find(2, 1, [0, 1]), find(4, 1, [1, 1], true)), [])
    t.same(found({ ...put(0, 1), to: 9 }, find(2, 1, [0, 1])), [])
  },
)

t.test('rows that are lost, doubled, refused or in the wrong place are found', async (t) => {
  t.same(found(put(0, 1), find(2, 1, [0, 0])), ['lost'])
  t.same(found(put(0, 1), find(2, 1, [1, 0])), ['misplaced'])
  t.same(found(put(0, 1), find(2, 1, [2, 2])), ['doubled'])
  t.same(found(put(0, 1, 'fail'), find(2, 1, [1, 1])), ['appeared'])
  t.same(found(find(2, 1, [1, 1])), ['appeared'])
  t.same(found(put(0, 1, 'info'), find(2, 1, [0, 1], true)), ['misplaced'])
})

t.test('without a final look nothing is decided', async (t) => {
  t.same(checkRemade(historyOf('remade', [put(0, 1)])).undecided, ['remade: there is no final look'])
})
