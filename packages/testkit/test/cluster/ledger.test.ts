// What the ledger of acknowledgements finds when rows are lost, doubled, torn or there against what the client was told.
import t from 'tap'
import { isFaultless, Ledger, outcomeOf, type Outcome } from '@mirabelle/testkit/cluster'

function ledgerOf(...units: readonly (readonly [Outcome, ...number[]])[]): Ledger {
  const ledger = new Ledger()
  units.forEach(([outcome, ...ids], at) => {
    ledger.record({ ids, contents: [0], outcome, beganAtMs: at, endedAtMs: at + 0.5, error: '' })
  })
  return ledger
}

t.test('the verdict names each kind of fault', async (t) => {
  const cases = [
    {
      units: [
        ['acked', 1],
        ['acked', 2, 3],
      ],
      found: [1, 2, 3],
      fault: {},
    },
    { units: [['acked', 1]], found: [], fault: { lost: [1] } },
    { units: [['acked', 1]], found: [1, 1], fault: { doubled: [1] } },
    { units: [['failed', 1]], found: [], fault: {} },
    { units: [['failed', 1]], found: [1], fault: { unexpected: [1] } },
    { units: [], found: [9], fault: { unexpected: [9] } },
    { units: [['unknown', 1, 2]], found: [], fault: {} },
    { units: [['unknown', 1, 2]], found: [1, 2], fault: {} },
    { units: [['unknown', 1, 2]], found: [1, 1, 2], fault: { doubled: [1] } },
  ] as const
  for (const { units, found, fault } of cases) {
    const verdict = ledgerOf(...units).judge(found)
    t.match(verdict, { lost: [], doubled: [], unexpected: [], ...fault }, JSON.stringify({ units, found }))
    t.equal(isFaultless(verdict), Object.keys(fault).length === 0)
  }
  const torn = ledgerOf(['unknown', 1, 2]).judge([2])
  t.match(torn.torn, [{ ids: [1, 2] }], 'a unit of which a part is there')
  t.notOk(isFaultless(torn))
})

t.test('the longest gap counts from the moment that is asked about', async (t) => {
  const ledger = ledgerOf(
    ['acked', 1],
    ['acked', 2],
    ['failed', 3],
    ['failed', 4],
    ['acked', 5],
    ['acked', 6],
  )
  t.same(ledger.longestGap(0, 1.5), { gapMs: 3, endsAtMs: 4.5 })
  t.same(ledger.longestGap(1, 1.5), { gapMs: 0, endsAtMs: 1.5 }, 'no acknowledgement on that content')
})

t.test('only an error that says so means that nothing was done', async (t) => {
  t.equal(outcomeOf(new Error('Connection terminated unexpectedly')), 'unknown')
  t.equal(outcomeOf({ code: 'ECONNRESET' }), 'unknown')
  t.equal(outcomeOf({ code: '08007' }), 'unknown')
  t.equal(outcomeOf({ code: '57P01' }), 'unknown')
  t.equal(outcomeOf({ code: '40P01' }), 'failed')
  t.equal(outcomeOf({ code: '23505' }), 'failed')
})
