// The checker of the set: acknowledged is there, once, and nothing else is.
import t from 'tap'
import { checkSet } from '../../src/chaos/check/set.ts'
import { historyOf, kinds, type Planned } from '../support/histories.ts'

const add = (at: number, ids: readonly number[], type: Planned['type'] = 'ok'): Planned => {
  return { from: at, to: at + 1, type, f: 'add', asked: ids } as Planned
}
const read = (at: number, seen: readonly number[], { above = 0, final = false } = {}): Planned => {
  return { from: at, to: at + 1, f: 'read', asked: { above }, told: { above, seen }, final }
}
const verdict = (planned: readonly Planned[]) => checkSet(historyOf('set', planned))
const found = (...planned: readonly Planned[]) => kinds(verdict(planned).anomalies)

t.test('what was acknowledged is there, what is unknown may be there', async (t) => {
  const all = [add(0, [1]), add(2, [2, 3], 'info'), add(4, [4], 'fail')]
  t.same(found(...all, read(9, [1], { final: true })), [])
  t.same(found(...all, read(9, [1, 2, 3], { final: true })), [])
})

t.test('lost, doubled and torn inserts, refused ones and strangers are found', async (t) => {
  const final = { final: true }
  t.same(found(add(0, [1]), add(2, [2]), read(9, [2], final)), ['lost'])
  t.same(found(add(0, [1]), read(9, [1, 1], final)), ['doubled'])
  t.same(found(add(0, [1, 2], 'info'), read(9, [1], final)), ['torn'])
  t.same(found(add(0, [1], 'fail'), read(9, [1], final)), ['appeared'])
  t.same(found(read(9, [1], final)), ['appeared'])
  t.same(found(read(0, [1]), add(5, [1]), read(9, [1], final)), ['appeared'], 'before it was added')
})

t.test('a read in between may not miss what was acknowledged before it began, above its limit', async (t) => {
  const end = read(90, [1, 2], { final: true })
  t.same(found(add(0, [1]), add(2, [2]), read(5, [1]), end), ['lost'])
  t.same(found(add(0, [1]), add(2, [2]), read(5, [2], { above: 1 }), end), [])
  t.same(
    found({ ...add(0, [1]), to: 7 }, read(5, []), add(8, [2]), end),
    [],
    'one still under way may be missing',
  )
})

t.test('an element that many reads miss is told once', async (t) => {
  const { anomalies } = verdict([add(0, [1]), read(2, []), read(4, []), read(90, [], { final: true })])
  t.equal(anomalies.length, 1)
  t.match(anomalies[0]?.story.at(-1), /3 reads show it/)
})
