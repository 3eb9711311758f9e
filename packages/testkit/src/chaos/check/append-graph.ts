/**
 * Which transaction must come before which: write-write from the order of a list, write-read from the last element that was read, read-write from the next one that
 * was not, and real time. Pure.
 */
import type { Edge, EdgeKind, Graph } from './cycles.ts'
import type { ListRead, Versions } from './append-reads.ts'
import { listOf, nameOf, type Appends, type Transaction } from './append-transactions.ts'
import { seconds } from './anomaly.ts'

export function dependencyGraph(appends: Appends, versions: Versions): Graph {
  const graph: Edge[][] = appends.transactions.map(() => [])
  const seen = new Set<string>()
  const join = (from: Transaction, to: Transaction, kind: EdgeKind, because: () => string): void => {
    const name = `${from.node} ${to.node} ${kind}`
    if (from === to || seen.has(name)) return
    seen.add(name)
    graph[from.node]?.push({ to: to.node, kind, because })
  }
  const writer = (key: number, element: number | undefined): Transaction | undefined => {
    return element === undefined ? undefined : appends.byElement.get(nameOf(key, element))?.by
  }
  for (const [key, order] of versions.orders) {
    for (let place = 1; place < order.length; place += 1) {
      const [before, after] = [writer(key, order[place - 1]), writer(key, order[place])]
      if (before === undefined || after === undefined) continue
      join(before, after, 'ww', () => {
        return `T${before.node} appended ${order[place - 1]} to ${key}, directly before the ${order[place]} of T${after.node}`
      })
    }
  }
  for (const read of versions.reads) joinRead(read, versions, writer, join)
  joinRealTime(appends.transactions, join)
  return graph
}

type Join = (from: Transaction, to: Transaction, kind: EdgeKind, because: () => string) => void

/** What a transaction appended itself before its read says nothing about others. */
function joinRead(
  { by, key, elements, own }: ListRead,
  { orders }: Versions,
  writer: (key: number, element: number | undefined) => Transaction | undefined,
  join: Join,
): void {
  if (own > 0) return
  const from = writer(key, elements.at(-1))
  if (from !== undefined)
    join(from, by, 'wr', () => `T${from.node} appended ${elements.at(-1)} to ${key}, which T${by.node} saw`)
  const next = orders.get(key)?.[elements.length]
  const to = writer(key, next)
  if (to !== undefined)
    join(
      by,
      to,
      'rw',
      () => `T${by.node} saw ${key} as ${listOf(elements)}, without the ${next} of T${to.node}`,
    )
}

/**
 * One that ended before another began comes before it. Only edges that no others imply: from the latest that had ended, those that were not followed by one of them
 * already. Refused transactions did nothing; unknown ones never ended.
 */
function joinRealTime(transactions: readonly Transaction[], join: Join): void {
  const events = transactions
    .filter(({ call }) => call.outcome !== 'fail')
    .flatMap((transaction) => [
      { at: transaction.call.invokedAt, transaction, isEnd: false },
      ...(transaction.call.endedAt === Infinity
        ? []
        : [{ at: transaction.call.endedAt, transaction, isEnd: true }]),
    ])
    .sort((a, b) => a.at - b.at)
  const latest = new Set<Transaction>()
  const follows = new Map<Transaction, readonly Transaction[]>()
  for (const { transaction, isEnd } of events) {
    if (!isEnd) {
      follows.set(transaction, [...latest])
      for (const before of latest)
        join(before, transaction, 'rt', () => {
          return `T${before.node} had ended at ${seconds(before.call.endedMs)}, before T${transaction.node} began at ${seconds(transaction.call.invokedMs)}`
        })
      continue
    }
    for (const before of follows.get(transaction) ?? []) latest.delete(before)
    follows.delete(transaction)
    latest.add(transaction)
  }
}
