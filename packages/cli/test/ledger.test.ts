import t from 'tap'
import { Ledger, longestGap } from '../src/demo/ledger.ts'

function ledgerWith(acked: readonly number[], unknown: readonly number[]): Ledger {
  const ledger = new Ledger()
  for (const id of acked) ledger.acked(id, { content: id % 2, sentAtMs: id * 10 - 5, atMs: id * 10 })
  for (const id of unknown) ledger.unknown(id)
  return ledger
}

t.test('ids are never given out twice', (test) => {
  const ledger = new Ledger()
  test.equal(new Set(Array.from({ length: 100 }, () => ledger.take())).size, 100)
  test.end()
})

t.test('an acknowledged row that is missing is lost; one that is there twice is duplicated', (test) => {
  const verdict = ledgerWith([1, 2, 3], [4]).judge([1, 1, 3])
  test.same(verdict, { acked: 3, unknown: 1, lost: 1, duplicated: 1, unexpected: 0, unknown_present: 0 })
  test.end()
})

t.test('a row without an answer may be there or not, but not twice', (test) => {
  test.same(ledgerWith([1], [2, 3]).judge([1, 2]), {
    acked: 1,
    unknown: 2,
    lost: 0,
    duplicated: 0,
    unexpected: 0,
    unknown_present: 1,
  })
  test.equal(ledgerWith([1], [2]).judge([1, 2, 2]).duplicated, 1)
  test.end()
})

t.test('a row that was sent before a moment does not show what came after it', (test) => {
  const ledger = ledgerWith([1, 2, 3], [])
  test.equal(ledger.firstAckOfSentAfter(16), 30, 'row 2 was sent at 15 and acknowledged at 20')
  test.equal(ledger.firstAckOfSentAfter(25), undefined)
  test.end()
})

t.test('a row that nobody sent is told apart', (test) => {
  test.equal(ledgerWith([1], []).judge([1, 99]).unexpected, 1)
  test.end()
})

t.test('the longest pause counts from its begin, and knows where it ended', (test) => {
  test.same(longestGap([110, 120, 400, 410], 100), { gapMs: 280, endsAtMs: 400 })
  test.same(longestGap([], 100), { gapMs: 0, endsAtMs: 100 })
  test.end()
})

t.test('times of acknowledgements can be taken of one content or of the others', (test) => {
  const ledger = ledgerWith([1, 2, 3, 4], [])
  test.same(ledger.ackTimes(1, 0), [10, 30])
  test.same(ledger.ackTimes('others', 0, 1), [20, 40])
  test.same(ledger.ackTimes('all', 25), [30, 40])
  test.end()
})
