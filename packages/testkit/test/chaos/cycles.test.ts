// The search for cycles: components without recursion, the plainest class of each, the shortest cycle of that.
import t from 'tap'
import fc from 'fast-check'
import { findCycles, type Edge, type EdgeKind } from '../../src/chaos/check/cycles.ts'

const graphOf = (count: number, edges: readonly (readonly [number, number, EdgeKind])[]) => {
  const graph: Edge[][] = Array.from({ length: count }, () => [])
  for (const [from, to, kind] of edges) graph[from]?.push({ to, kind, because: () => `${from} ${to}` })
  return graph
}

t.test('a graph without a cycle has none', async (t) => {
  t.same(
    findCycles(
      graphOf(4, [
        [0, 1, 'ww'],
        [1, 2, 'wr'],
        [0, 2, 'rw'],
        [2, 3, 'rt'],
      ]),
    ),
    [],
  )
  t.same(findCycles([]), [])
})

t.test('each component gives one cycle, of its plainest class and as short as it can be', async (t) => {
  const cycles = findCycles(
    graphOf(8, [
      [0, 1, 'ww'],
      [1, 2, 'ww'],
      [2, 0, 'ww'],
      [2, 3, 'rw'],
      [3, 0, 'wr'],
      [3, 4, 'rt'],
      [5, 6, 'rw'],
      [6, 7, 'rt'],
      [7, 5, 'wr'],
    ]),
  )
  t.same(cycles.map(({ kind }) => kind).sort(), ['G-single-realtime', 'G0'])
  t.equal(cycles.find(({ kind }) => kind === 'G0')?.steps.length, 3)
})

t.test('a cycle of real time alone is none of the database, and is not told', async (t) => {
  t.same(
    findCycles(
      graphOf(2, [
        [0, 1, 'rt'],
        [1, 0, 'rt'],
      ]),
    ),
    [],
  )
})

t.test('a chain of a hundred thousand transactions does not exhaust the stack', async (t) => {
  const count = 100_000
  const chain = Array.from({ length: count - 1 }, (_, i) => [i, i + 1, 'ww'] as const)
  t.same(findCycles(graphOf(count, chain)), [])
  const closed = findCycles(graphOf(count, [...chain.slice(0, 50), [50, 0, 'wr']]))
  t.equal(closed[0]?.steps.length, 51)
})

t.test('a cycle is found exactly when there is one, and leads back to where it begins', async () => {
  const kind = fc.constantFrom<EdgeKind>('ww', 'wr', 'rw')
  const node = fc.nat({ max: 7 })
  fc.assert(
    fc.property(fc.array(fc.tuple(node, node, kind), { maxLength: 14 }), (edges) => {
      const all = edges.filter(([from, to]) => from !== to)
      const cycles = findCycles(graphOf(8, all))
      for (const { steps } of cycles) {
        steps.forEach(({ from, edge }, i) => {
          if (edge.to !== steps[(i + 1) % steps.length]?.from) throw new Error(`broken after ${from}`)
        })
      }
      return cycles.length > 0 === hasCycle(8, all)
    }),
    { numRuns: 300, seed: 7 },
  )
})

/** By taking away what nothing leads to, again and again. */
function hasCycle(count: number, edges: readonly (readonly [number, number, EdgeKind])[]): boolean {
  let left = new Set(Array.from({ length: count }, (_, i) => i))
  for (;;) {
    const reached = new Set(edges.filter(([from]) => left.has(from)).map(([, to]) => to))
    const next = new Set([...left].filter((node) => reached.has(node)))
    if (next.size === left.size) return left.size > 0
    left = next
  }
}
