/**
 * Is there an order of these operations on one register that agrees with real time and with every answer? Wing and Gong's search with Lowe's memory of the
 * configurations that were tried: which operations are done, and the value then. Pure.
 */
import type { RegisterCall } from './register-calls.ts'

export type Linearization =
  | { readonly is: 'linearizable'; readonly steps: number }
  | { readonly is: 'undecided'; readonly steps: number }
  | {
      readonly is: 'impossible'
      readonly steps: number
      /** The longest order that was found. */
      readonly prefix: readonly RegisterCall[]
      /** The value after it. */
      readonly value: number | null
      /** What had to come next and could not: its answer was there before anything else could happen. */
      readonly stuck: RegisterCall
    }

/** A call or a return in the list of those that are left; a doubly linked list, so that lifting one out and putting it back costs nothing. */
interface Entry {
  readonly place: number
  readonly call: RegisterCall
  /** The return of a call; undefined at the return itself. */
  readonly match: Entry | undefined
  before: Entry | undefined
  after: Entry | undefined
}

interface Done {
  readonly entry: Entry
  readonly valueBefore: number | null
}

/** The furthest that the search came. */
interface Best {
  readonly prefix: readonly RegisterCall[]
  readonly value: number | null
  readonly stuck: RegisterCall | undefined
}

/** What a call makes of the value; undefined when its answer does not fit, or when an unknown one would do nothing. */
export function applyTo(value: number | null, { action, isKnown }: RegisterCall): number | null | undefined {
  if (action.f === 'read') return action.seen === value ? value : undefined
  if (action.f === 'write') return action.to
  if (value === action.from) return action.swapped || !isKnown ? action.to : undefined
  return action.swapped || !isKnown ? undefined : value
}

/** Begins with no value. Gives up after `mostSteps`. */
export function linearize(calls: readonly RegisterCall[], mostSteps = 3_000_000): Linearization {
  const head = entriesOf(calls)
  const tried = new Set<string>()
  const done: Done[] = []
  const bits = new Uint16Array(Math.ceil(calls.length / 16))
  let value: number | null = null
  let left = calls.filter(({ isKnown }) => isKnown).length
  let best: Best = { prefix: [], value, stuck: undefined }
  let entry = head.after
  for (let steps = 0; ; steps += 1) {
    if (left === 0) return { is: 'linearizable', steps }
    if (steps > mostSteps) return { is: 'undecided', steps }
    if (entry !== undefined && entry.match !== undefined) {
      const next = applyTo(value, entry.call)
      if (next !== undefined && isNew(tried, bits, entry.place, next)) {
        done.push({ entry, valueBefore: value })
        value = next
        if (entry.call.isKnown) left -= 1
        lift(entry)
        entry = head.after
        continue
      }
      flip(bits, entry.place, false)
      entry = entry.after
      continue
    }
    // An answer came, or the list ends: one of the calls before it should have been done differently.
    if (best.stuck === undefined || done.length > best.prefix.length)
      best = { prefix: done.map((one) => one.entry.call), value, stuck: entry?.call ?? best.stuck }
    const last = done.pop()
    if (last === undefined)
      return {
        is: 'impossible',
        steps,
        prefix: best.prefix,
        value: best.value,
        stuck: best.stuck as RegisterCall,
      }
    value = last.valueBefore
    if (last.entry.call.isKnown) left += 1
    flip(bits, last.entry.place, false)
    putBack(last.entry)
    entry = last.entry.after
  }
}

/** Marks the operation as done and says whether this configuration was never tried; leaves it unmarked when it was. */
function isNew(tried: Set<string>, bits: Uint16Array, place: number, value: number | null): boolean {
  flip(bits, place, true)
  const key = `${value}:${String.fromCharCode(...bits)}`
  if (tried.has(key)) return false
  tried.add(key)
  return true
}

function flip(bits: Uint16Array, place: number, on: boolean): void {
  const mask = 1 << (place & 15)
  const word = bits[place >> 4] as number
  bits[place >> 4] = on ? word | mask : word & ~mask
}

/** The list of calls and returns in the order of the history, behind a head. Calls whose end is not known have no return. */
function entriesOf(calls: readonly RegisterCall[]): Entry {
  const first = calls[0] as RegisterCall
  const head: Entry = { place: -1, call: first, match: undefined, before: undefined, after: undefined }
  const all: { at: number; entry: Entry }[] = []
  calls.forEach((call, place) => {
    const answer: Entry = { place, call, match: undefined, before: undefined, after: undefined }
    const begun: Entry = { place, call, match: answer, before: undefined, after: undefined }
    all.push({ at: call.invokedAt, entry: begun })
    if (call.isKnown) all.push({ at: call.endedAt, entry: answer })
  })
  all.sort((a, b) => a.at - b.at)
  let last = head
  for (const { entry } of all) {
    last.after = entry
    entry.before = last
    last = entry
  }
  return head
}

/** Takes a call and its return out of the list. */
function lift({ before, after, match, call }: Entry): void {
  if (before !== undefined) before.after = after
  if (after !== undefined) after.before = before
  if (!call.isKnown || match === undefined) return
  if (match.before !== undefined) match.before.after = match.after
  if (match.after !== undefined) match.after.before = match.before
}

/** Undoes `lift`. */
function putBack(entry: Entry): void {
  const { match, call } = entry
  if (call.isKnown && match !== undefined) {
    if (match.before !== undefined) match.before.after = match
    if (match.after !== undefined) match.after.before = match
  }
  if (entry.before !== undefined) entry.before.after = entry
  if (entry.after !== undefined) entry.after.before = entry
}
