// The checker of the bank: the total stays, no balance is below zero, and the end is what the transfers make of the beginning.
import t from 'tap'
import { checkBank } from '../../src/chaos/check/bank.ts'
import { historyOf, kinds, type Planned } from '../support/histories.ts'

const initial = { 0: 10, 1: 10, 2: 10 }
const transfer = (
  at: number,
  [from, to, amount]: readonly number[],
  type: Planned['type'] = 'ok',
): Planned => {
  return { from: at, to: at + 1, type, f: 'transfer', asked: { from, to, amount } } as Planned
}
const read = (at: number, balances: readonly number[], final = false): Planned => {
  return { from: at, to: at + 1, f: 'read', asked: null, told: { ...balances }, final }
}
const verdict = (planned: readonly Planned[], allowNegative = false) =>
  checkBank(historyOf('bank', planned), { initial, allowNegative })
const found = (...planned: readonly Planned[]) => kinds(verdict(planned).anomalies)

t.test('transfers that keep the total are right', async (t) => {
  t.same(found(transfer(0, [0, 1, 4]), read(2, [6, 14, 10]), read(90, [6, 14, 10], true)), [])
})

t.test('a read with another total, or without an account, is found', async (t) => {
  t.same(found(transfer(0, [0, 1, 4]), read(2, [6, 10, 10]), read(90, [6, 14, 10], true)), ['wrong-total'])
  t.same(found(read(2, [20, 10]), read(90, [10, 10, 10], true)), ['wrong-accounts'])
})

t.test('a balance below zero is found where it is not allowed', async (t) => {
  const planned = [transfer(0, [0, 1, 14]), read(90, [-4, 24, 10], true)]
  t.same(found(...planned), ['negative-balance'])
  t.same(verdict(planned, true).anomalies, [])
})

t.test('a transfer that is lost or doubled as a whole is found although the total is right', async (t) => {
  const both = [transfer(0, [0, 1, 4]), transfer(2, [1, 2, 3])]
  t.same(found(...both, read(90, [6, 14, 10], true)), ['lost-transfer'])
  t.same(found(...both, read(90, [2, 15, 13], true)), ['lost-transfer'])
})

t.test('one without an answer may have taken effect or not; a refused one not', async (t) => {
  const unknown = [transfer(0, [0, 1, 4], 'info'), transfer(2, [1, 2, 3], 'info')]
  for (const balances of [
    [10, 10, 10],
    [6, 14, 10],
    [10, 7, 13],
    [6, 11, 13],
  ])
    t.same(found(...unknown, read(90, balances, true)), [], balances.join())
  t.same(found(...unknown, read(90, [9, 11, 10], true)), ['lost-transfer'])
  t.same(found(transfer(0, [0, 1, 4], 'fail'), read(90, [6, 14, 10], true)), ['lost-transfer'])
})

t.test('without a final read, or with too many unknown transfers, it is undecided', async (t) => {
  t.match(verdict([transfer(0, [0, 1, 1])]).undecided, [/no final read/])
  const many = Array.from({ length: 40 }, (_, i) => transfer(i, [i % 3, (i + 1) % 3, 2 ** i], 'info'))
  t.match(verdict([...many, read(90, [9, 10, 11], true)], true).undecided, [/too many to tell/])
})
