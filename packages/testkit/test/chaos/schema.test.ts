// The checker of tables: made is there with all rows until it is dropped, and nothing else is.
import t from 'tap'
import { checkSchema, ROWS_OF_A_TABLE } from '../../src/chaos/check/schema.ts'
import type { Json } from '../../src/chaos/history/op.ts'
import { historyOf, kinds, type Planned } from '../support/histories.ts'

const whole = Array.from({ length: ROWS_OF_A_TABLE }, (_, i) => i + 1)
const step =
  (f: string) =>
  (at: number, table: number, type: Planned['type'] = 'ok') =>
    ({ from: at, to: at + 1, type, f, asked: table, told: table }) as Planned
const [make, drop] = [step('make'), step('drop')]
const look = (at: number, tables: readonly number[], rows: Json = {}, final = false): Planned => {
  return { from: at, to: at + 1, f: 'look', asked: null, told: { tables, rows }, final }
}
const found = (...planned: readonly Planned[]) => kinds(checkSchema(historyOf('schema', planned)).anomalies)

t.test('what was made is there until it is dropped; what is unknown may be', async (t) => {
  t.same(found(make(0, 1), look(2, [1], { 1: whole }), drop(4, 1), look(6, [], {}, true)), [])
  const unknown = [make(0, 1, 'info'), make(2, 2), drop(4, 2, 'info')]
  t.same(found(...unknown, look(6, [1, 2], { 1: whole, 2: null })), [])
  t.same(found(...unknown, look(6, [])), [])
  t.same(found(make(0, 1, 'fail'), make(2, 2), drop(4, 2, 'fail'), look(6, [2])), [])
  t.same(found({ ...make(0, 1), to: 9 }, look(2, [1])), [], 'one that is being made')
})

t.test('lost, torn and refused tables are found, and one that came back', async (t) => {
  t.same(found(make(0, 1), look(2, [])), ['lost'])
  t.same(found(make(0, 1), drop(2, 1, 'fail'), look(4, [])), ['lost'])
  t.same(found(make(0, 1), look(2, [1], { 1: whole.slice(1) })), ['torn'])
  t.same(found(make(0, 1), look(2, [1], { 1: null })), ['torn'], 'listed, and not there')
  t.same(found(make(0, 1, 'fail'), look(2, [1])), ['appeared'])
  t.same(found(look(0, [1]), make(2, 1)), ['appeared'])
  t.same(found(make(0, 1), drop(2, 1), look(4, [1])), ['came-back'])
})

t.test('without a final look nothing is decided', async (t) => {
  t.same(checkSchema(historyOf('schema', [make(0, 1)])).undecided, ['schema: there is no final look'])
})
