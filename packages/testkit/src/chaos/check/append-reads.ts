/**
 * What single reads of lists and their comparison show: elements from nowhere or from aborted or half-done transactions, doubled ones, lost ones, and reads that do not
 * agree on an order. Gives the order of the elements of each key, from which the graph is made. Pure.
 */
import { seconds, type Anomaly } from './anomaly.ts'
import { listOf, nameOf, tell, type Append, type Appends, type Transaction } from './append-transactions.ts'

export interface ListRead {
  readonly by: Transaction
  readonly key: number
  readonly elements: readonly number[]
  /** How many elements at the end its own transaction has appended before. */
  readonly own: number
}

export interface Versions {
  /** The longest read of each key. */
  readonly orders: ReadonlyMap<number, readonly number[]>
  readonly reads: readonly ListRead[]
  readonly anomalies: readonly Anomaly[]
}

type Say = (kind: string, by: Transaction, summary: string, ...more: readonly Transaction[]) => void

export function readVersions({ transactions, byElement }: Appends): Versions {
  const anomalies: Anomaly[] = []
  const say: Say = (kind, by, summary, ...more) => {
    const all = [by, ...more]
    const timesMs = all.map(({ call }) => (call.endedMs === Infinity ? call.invokedMs : call.endedMs))
    anomalies.push({ workload: 'append', kind, summary, story: all.map(tell), timesMs })
  }
  const reads = transactions
    .filter(({ call }) => call.outcome === 'ok')
    .flatMap((transaction) => readsOf(transaction, say))
  for (const read of reads) checkElements(read, byElement, say)
  const longest = longestReads(reads, say)
  checkLost(reads, longest, byElement, say)
  const orders = new Map([...longest].map(([key, { elements }]) => [key, elements]))
  return { orders, reads, anomalies }
}

/** The reads of one transaction, each compared with what it did itself before. */
function readsOf(by: Transaction, say: Say): ListRead[] {
  const reads: ListRead[] = []
  const appended = new Map<number, number[]>()
  const known = new Map<number, readonly number[]>()
  for (const micro of by.micros) {
    const key = micro[1]
    const own = appended.get(key) ?? []
    if (micro[0] === 'append') {
      appended.set(key, [...own, micro[2]])
      const before = known.get(key)
      if (before !== undefined) known.set(key, [...before, micro[2]])
      continue
    }
    const elements = micro[2] ?? []
    const before = known.get(key)
    const expected = before ?? own
    const end = elements.slice(elements.length - expected.length)
    const agrees = expected.length <= elements.length && expected.every((one, place) => end[place] === one)
    if (!agrees || (before !== undefined && before.length !== elements.length))
      say(
        'internal',
        by,
        `T${by.node} reads ${listOf(elements)} of ${key} although it knows ${listOf(expected)}`,
      )
    else reads.push({ by, key, elements, own: own.length })
    known.set(key, elements)
  }
  return reads
}

function checkElements(
  { by, key, elements }: ListRead,
  byElement: ReadonlyMap<string, Append>,
  say: Say,
): void {
  const seen = new Set<number>()
  elements.forEach((element, place) => {
    if (seen.has(element)) say('duplicate-element', by, `T${by.node} reads ${element} twice in ${key}`)
    seen.add(element)
    const append = byElement.get(nameOf(key, element))
    if (append === undefined)
      say('appeared', by, `T${by.node} reads ${element} in ${key}, which nobody appended`)
    else if (append.by.call.outcome === 'fail')
      say('G1a', by, `T${by.node} reads ${element} in ${key}, whose transaction was refused`, append.by)
    else if (append.isIntermediate && append.by !== by && place === elements.length - 1)
      say('G1b', by, `T${by.node} reads ${key} in the middle of T${append.by.node}`, append.by)
  })
}

/** The longest read of each key; all others have to be beginnings of it. */
function longestReads(reads: readonly ListRead[], say: Say): Map<number, ListRead> {
  const longest = new Map<number, ListRead>()
  for (const read of reads) {
    const known = longest.get(read.key)
    if (known === undefined || read.elements.length > known.elements.length) longest.set(read.key, read)
  }
  for (const read of reads) {
    const whole = longest.get(read.key) as ListRead
    const place = read.elements.findIndex((element, i) => whole.elements[i] !== element)
    if (place === -1) continue
    say(
      'incompatible-order',
      read.by,
      `${read.key} has ${read.elements[place]} at place ${place} for T${read.by.node}, but ${whole.elements[place]} for T${whole.by.node}`,
      whole.by,
    )
  }
  return longest
}

/** What was acknowledged, and is in no version although somebody read afterwards. */
function checkLost(
  reads: readonly ListRead[],
  longest: ReadonlyMap<number, ListRead>,
  byElement: ReadonlyMap<string, Append>,
  say: Say,
): void {
  const lastRead = new Map<number, ListRead>()
  for (const read of reads) {
    const known = lastRead.get(read.key)
    if (known === undefined || read.by.call.invokedAt > known.by.call.invokedAt) lastRead.set(read.key, read)
  }
  const inOrder = new Map([...longest].map(([key, { elements }]) => [key, new Set(elements)]))
  for (const { by, key, element } of byElement.values()) {
    if (by.call.outcome !== 'ok' || inOrder.get(key)?.has(element) === true) continue
    const read = lastRead.get(key)
    if (read === undefined || read.by.call.invokedAt < by.call.endedAt) continue
    say(
      'lost-append',
      read.by,
      `${element} was acknowledged for ${key} at ${seconds(by.call.endedMs)}, and T${read.by.node}, which began later, does not see it`,
      by,
    )
  }
}
