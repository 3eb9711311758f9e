/**
 * Cycles in a graph of transactions: strongly connected components, and in them a short cycle of each class of anomaly. Pure. The classes are Adya's: G0 has
 * only write-write edges, G1c write-write and write-read, G-single exactly one read-write edge, G2 more of them; `-realtime` says that the order
 * of real time is needed to close the cycle.
 */

export type EdgeKind = 'ww' | 'wr' | 'rw' | 'rt'

export interface Edge {
  readonly to: number
  readonly kind: EdgeKind
  /** Says why the one comes before the other. */
  readonly because: () => string
}

/** Edges by the number of the node that they leave. */
export type Graph = readonly (readonly Edge[])[]

export interface Cycle {
  readonly kind: string
  /** Each edge with the node that it leaves; the last one leads back to the first node. */
  readonly steps: readonly { readonly from: number; readonly edge: Edge }[]
}

/** A class is looked for by an edge that the cycle must have, and the kinds that lead back. */
interface CycleClass {
  readonly name: string
  readonly first: EdgeKind
  readonly back: ReadonlySet<EdgeKind>
}

const classes: readonly CycleClass[] = [
  { name: 'G0', first: 'ww', back: new Set(['ww']) },
  { name: 'G1c', first: 'wr', back: new Set(['ww', 'wr']) },
  { name: 'G-single', first: 'rw', back: new Set(['ww', 'wr']) },
  { name: 'G2', first: 'rw', back: new Set(['ww', 'wr', 'rw']) },
  { name: 'G0-realtime', first: 'ww', back: new Set(['ww', 'rt']) },
  { name: 'G1c-realtime', first: 'wr', back: new Set(['ww', 'wr', 'rt']) },
  { name: 'G-single-realtime', first: 'rw', back: new Set(['ww', 'wr', 'rt']) },
  { name: 'G2-realtime', first: 'rw', back: new Set(['ww', 'wr', 'rw', 'rt']) },
]

/** Edges of one component that are tried for a class before it is given up: a component that large has a cycle of a plainer class. */
const MOST_TRIED = 2_000

/** The plainest cycle of each component that has one: at most one without the order of real time and, when there is none, one with it. */
export function findCycles(graph: Graph): Cycle[] {
  const component = components(graph)
  const members = new Map<number, number[]>()
  component.forEach((of, node) => {
    const list = members.get(of)
    if (list === undefined) members.set(of, [node])
    else list.push(node)
  })
  const found: Cycle[] = []
  for (const nodes of members.values()) {
    if (nodes.length < 2) continue
    const cycle = plainestCycle(graph, component, nodes)
    if (cycle !== undefined) found.push(cycle)
  }
  return found
}

function plainestCycle(
  graph: Graph,
  component: readonly number[],
  nodes: readonly number[],
): Cycle | undefined {
  for (const cycleClass of classes) {
    let shortest: Cycle['steps'] | undefined
    let tried = 0
    for (const from of nodes) {
      for (const edge of graph[from] ?? []) {
        if (edge.kind !== cycleClass.first || component[edge.to] !== component[from]) continue
        if (++tried > MOST_TRIED) break
        const back = shortestPath(graph, component, edge.to, from, cycleClass.back)
        if (back !== undefined && back.length + 1 < (shortest?.length ?? Infinity))
          shortest = [{ from, edge }, ...back]
      }
    }
    if (shortest !== undefined) return { kind: cycleClass.name, steps: shortest }
  }
  return undefined
}

/** Breadth first, inside one component. */
function shortestPath(
  graph: Graph,
  component: readonly number[],
  start: number,
  goal: number,
  kinds: ReadonlySet<EdgeKind>,
): Cycle['steps'] | undefined {
  const cameBy = new Map<number, { readonly from: number; readonly edge: Edge } | null>([[start, null]])
  let front = [start]
  while (front.length > 0 && !cameBy.has(goal)) {
    const next: number[] = []
    for (const from of front) {
      for (const edge of graph[from] ?? []) {
        if (!kinds.has(edge.kind) || component[edge.to] !== component[goal] || cameBy.has(edge.to)) continue
        cameBy.set(edge.to, { from, edge })
        next.push(edge.to)
      }
    }
    front = next
  }
  if (!cameBy.has(goal)) return undefined
  const steps: { readonly from: number; readonly edge: Edge }[] = []
  for (let step = cameBy.get(goal); step; step = cameBy.get(step.from)) steps.unshift(step)
  return steps
}

/** Tarjan's algorithm without recursion: the number of its component for each node. */
function components(graph: Graph): number[] {
  const count = graph.length
  const order = new Array<number>(count).fill(-1)
  const low = new Array<number>(count).fill(0)
  const component = new Array<number>(count).fill(-1)
  const stack: number[] = []
  let seen = 0
  let closed = 0
  for (let root = 0; root < count; root += 1) {
    if (order[root] !== -1) continue
    const work = [{ node: root, next: 0 }]
    while (work.length > 0) {
      const top = work[work.length - 1] as { readonly node: number; next: number }
      const { node } = top
      if (top.next === 0) {
        order[node] = low[node] = seen++
        stack.push(node)
      }
      const edge = graph[node]?.[top.next++]
      if (edge !== undefined) {
        if (order[edge.to] === -1) work.push({ node: edge.to, next: 0 })
        else if (component[edge.to] === -1)
          low[node] = Math.min(low[node] as number, order[edge.to] as number)
        continue
      }
      work.pop()
      const parent = work[work.length - 1]
      if (parent !== undefined) low[parent.node] = Math.min(low[parent.node] as number, low[node] as number)
      if (low[node] !== order[node]) continue
      for (let member = -1; member !== node;) {
        member = stack.pop() as number
        component[member] = closed
      }
      closed += 1
    }
  }
  return component
}
