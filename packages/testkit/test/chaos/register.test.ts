// The checker of registers: linearizable histories pass, others are refused with the order that comes nearest.
import t from 'tap'
import fc from 'fast-check'
import { linearize } from '../../src/chaos/check/linearize.ts'
import { checkRegister } from '../../src/chaos/check/register.ts'
import { registerCalls } from '../../src/chaos/check/register-calls.ts'
import { historyOf, kinds, type Planned } from '../support/histories.ts'

const write = (from: number, to: number, value: number, type: Planned['type'] = 'ok'): Planned => {
  return { from, to, type, f: 'write', asked: { key: 1, to: value } } as Planned
}
const read = (from: number, to: number, seen: number | null): Planned => {
  return { from, to, f: 'read', asked: { key: 1 }, told: { key: 1, seen } }
}
const cas = (
  from: number,
  to: number,
  [expected, next]: readonly [number, number],
  swapped: boolean,
  type: Planned['type'] = 'ok',
): Planned => {
  const asked = { key: 1, from: expected, to: next }
  return { from, to, type, f: 'cas', asked, told: type === 'ok' ? { ...asked, swapped } : asked } as Planned
}
const found = (...planned: readonly Planned[]) => checkRegister(historyOf('register', planned)).anomalies

t.test('operations at the same time may take effect in any order', async (t) => {
  t.same(
    found(read(0, 1, null), write(2, 10, 1), write(2, 10, 2), read(3, 4, 2), read(5, 6, 1), read(11, 12, 1)),
    [],
  )
  t.same(found(write(0, 1, 1), cas(2, 9, [1, 2], true), cas(2, 9, [1, 3], false), read(10, 11, 2)), [])
})

t.test('a read of what was overwritten before it began is refused', async (t) => {
  const all = found(write(0, 1, 1), write(2, 3, 2), read(4, 5, 1))
  t.same(kinds(all), ['not-linearizable'])
  t.match(all[0]?.summary, /explains read 1 by process 2/)
  t.match(all[0]?.story.join('\n'), /the value is 2 now/)
})

t.test('two reads may not see two writes in opposite orders', async (t) => {
  t.same(kinds(found(write(0, 20, 1), write(0, 20, 2), read(1, 2, 1), read(3, 4, 2), read(5, 6, 1))), [
    'not-linearizable',
  ])
})

t.test('of two that compare and set the same value only one may succeed', async (t) => {
  t.same(kinds(found(write(0, 1, 1), cas(2, 9, [1, 2], true), cas(2, 9, [1, 3], true))), ['not-linearizable'])
  t.same(kinds(found(write(0, 1, 1), cas(2, 3, [1, 2], false), read(4, 5, 1))), ['not-linearizable'])
})

t.test(
  'what nobody knows may have happened at any time later, or never; what was refused never',
  async (t) => {
    t.same(found(write(0, 1, 1), write(2, 3, 2, 'info'), read(4, 5, 1), read(6, 7, 2)), [])
    t.same(found(write(0, 1, 1), write(2, 3, 2, 'info'), read(4, 5, 1)), [])
    t.same(kinds(found(write(0, 1, 1), write(2, 3, 2, 'info'), read(4, 5, 2), read(6, 7, 1))), [
      'not-linearizable',
    ])
    t.same(kinds(found(write(0, 1, 1), write(2, 3, 2, 'fail'), read(4, 5, 2))), ['not-linearizable'])
    t.same(found(write(0, 1, 1), cas(2, 3, [1, 2], true, 'info'), read(4, 5, 1), read(6, 7, 2)), [])
  },
)

t.test('keys are judged each by itself', async (t) => {
  const other: Planned = { from: 4, to: 5, f: 'read', asked: { key: 2 }, told: { key: 2, seen: null } }
  t.same(found(write(0, 1, 1), other), [])
})

t.test('a search that takes too long is undecided, not right', async (t) => {
  const many = Array.from({ length: 14 }, (_, i) => write(0, 100, i + 1))
  const { anomalies, undecided } = checkRegister(historyOf('register', [...many, read(101, 102, 99)]), 500)
  t.same(anomalies, [])
  t.match(undecided, [/register 1: 15 operations, given up/])
})

t.test('the verdict is that of trying all orders', async () => {
  const one = fc.record({
    f: fc.constantFrom('read', 'write', 'cas' as const),
    from: fc.nat({ max: 20 }),
    length: fc.nat({ max: 12 }),
    a: fc.integer({ min: 1, max: 3 }),
    b: fc.integer({ min: 1, max: 3 }),
    swapped: fc.boolean(),
    isKnown: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(one, { minLength: 1, maxLength: 5 }), (all) => {
      const planned = all.map(({ f, from, length, a, b, swapped, isKnown }, i) => {
        // Moments of their own, so that the order of the lines is clear.
        const [begin, end] = [from + i / 10, from + length + 0.5 + i / 10]
        if (f === 'read') return read(begin, end, a)
        const type = isKnown ? 'ok' : 'info'
        return f === 'write' ? write(begin, end, a, type) : cas(begin, end, [a, b], swapped, type)
      })
      const calls = registerCalls(historyOf('register', planned)).get(1) ?? []
      return (linearize(calls).is === 'linearizable') === byTryingAll(calls, null)
    }),
    { numRuns: 1_000, seed: 11 },
  )
})

type Calls = NonNullable<ReturnType<ReturnType<typeof registerCalls>['get']>>

/** Whether some order of some of these, all known ones among them, is right. */
function byTryingAll(left: Calls, value: number | null): boolean {
  if (left.every(({ isKnown }) => !isKnown)) return true
  const firstEnd = Math.min(...left.map(({ endedAt }) => endedAt))
  return left.some((call) => {
    if (call.invokedAt > firstEnd) return false
    const rest = left.filter((other) => other !== call)
    const { action, isKnown } = call
    if (action.f === 'read') return action.seen === value && byTryingAll(rest, value)
    if (action.f === 'write') return byTryingAll(rest, action.to)
    if (!isKnown) return value === action.from && byTryingAll(rest, action.to)
    if (action.swapped !== (value === action.from)) return false
    return byTryingAll(rest, action.swapped ? action.to : value)
  })
}
