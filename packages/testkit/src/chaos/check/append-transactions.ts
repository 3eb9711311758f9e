/** The list-append workload as its checker needs it: transactions with what they appended and read. Pure. */
import { callsOf, type Call, type MicroOp, type Op } from '../history/op.ts'
import { seconds } from './anomaly.ts'

export interface Transaction {
  /** Its place among the transactions: the number of its node. */
  readonly node: number
  readonly call: Call
  readonly micros: readonly MicroOp[]
}

export interface Append {
  readonly by: Transaction
  readonly key: number
  readonly element: number
  /** Its transaction appended to the same key again afterwards. */
  readonly isIntermediate: boolean
}

export interface Appends {
  readonly transactions: readonly Transaction[]
  /** By `nameOf(key, element)`. */
  readonly byElement: ReadonlyMap<string, Append>
}

export function nameOf(key: number, element: number): string {
  return `${key}/${element}`
}

/** Throws a RangeError when an element is appended to a key twice: then nothing could be concluded. */
export function readTransactions(ops: readonly Op[]): Appends {
  const transactions = callsOf(ops, 'append').map((call, node) => {
    return { node, call, micros: call.told as unknown as readonly MicroOp[] }
  })
  const byElement = new Map<string, Append>()
  for (const by of transactions) {
    by.micros.forEach((micro, place) => {
      if (micro[0] !== 'append') return
      const [, key, element] = micro
      const name = nameOf(key, element)
      if (byElement.has(name)) throw new RangeError(`${element} is appended to ${key} twice`)
      const isIntermediate = by.micros
        .slice(place + 1)
        .some((later) => later[0] === 'append' && later[1] === key)
      byElement.set(name, { by, key, element, isIntermediate })
    })
  }
  return { transactions, byElement }
}

/** One line for a story. */
export function tell({ node, call, micros }: Transaction): string {
  const did = micros.map((micro) =>
    micro[0] === 'append' ? `append ${micro[1]} ${micro[2]}` : `read ${micro[1]} ${listOf(micro[2])}`,
  )
  const ended = call.outcome === 'ok' ? seconds(call.endedMs) : call.outcome
  return `T${node} (process ${call.process}, ${seconds(call.invokedMs)} to ${ended}): ${did.join(', ')}`
}

const SHOWN = 8

/** The end of a list, which is what differs. */
export function listOf(elements: readonly number[] | null): string {
  if (elements === null) return '?'
  const cut = elements.length > SHOWN ? '… ' : ''
  return `[${cut}${elements.slice(-SHOWN).join(' ')}]`
}
