/**
 * What clients did and saw, and whether a strictly serializable database can have answered so (I9, and: nothing acknowledged is lost, nothing is doubled,
 * nothing appears from nowhere). Every list only grows, one id at a time, so any two reads of it must agree on what both saw.
 */
import { SimFailure } from './sim-world.ts'

/** What a client knows of one of its ids. */
type Outcome = 'pending' | 'acknowledged' | 'refused' | 'unknown'

interface Id {
  readonly lists: readonly string[]
  outcome: Outcome
}

interface List {
  /** The longest prefix that any read has shown. */
  seen: readonly string[]
  /** The same ids, all of which were found to be in order. */
  readonly places: Set<string>
  /** Ids whose append was acknowledged, in that order. */
  readonly acknowledged: string[]
  /** So many of them are among what was seen. */
  found: number
  /** An id that was seen was refused afterwards: reads are looked at from the beginning. */
  doubtful: boolean
}

/** What a read may not miss: taken when it is sent. */
export interface ReadStart {
  readonly list: string
  readonly seen: number
  readonly acknowledged: number
}

export class HistoryChecker {
  readonly counts = { acknowledged: 0, refused: 0, unknown: 0, reads: 0 }
  readonly #ids = new Map<string, Id>()
  readonly #lists = new Map<string, List>()

  /** An append of `id` to all of these lists, all or nothing, is sent. */
  invoke(id: string, lists: readonly string[]): void {
    this.#ids.set(id, { lists, outcome: 'pending' })
  }

  /** It has taken effect, says the cluster. */
  acknowledge(id: string): void {
    const one = this.#id(id)
    if (one.outcome === 'acknowledged') throw new SimFailure('I9', `${id} was answered twice`)
    one.outcome = 'acknowledged'
    this.counts.acknowledged++
    for (const list of one.lists) this.#list(list).acknowledged.push(id)
  }

  /** It has not taken effect and never will, says the cluster. */
  refuse(id: string): void {
    const one = this.#id(id)
    one.outcome = 'refused'
    this.counts.refused++
    for (const name of one.lists) {
      const list = this.#lists.get(name)
      if (list?.places.has(id) === true) list.doubtful = true
    }
  }

  /** What is known of it so far. */
  outcomeOf(id: string): Outcome {
    return this.#id(id).outcome
  }

  /** Its append was asked for again, in a list that takes it once, and refused because it is there. */
  found(id: string): void {
    const one = this.#id(id)
    if (one.outcome === 'refused')
      throw new SimFailure('appeared', `${id} is there, whose append was refused or rolled back`)
    if (one.outcome !== 'acknowledged') this.acknowledge(id)
  }

  /** Its append was asked for again, in a list that takes it once, and took effect: it was not there. `before`: what was known when that was asked. */
  appendedAgain(id: string, before: Outcome): void {
    if (before === 'acknowledged')
      throw new SimFailure('lost', `${id} was not there any more, which was acknowledged before`)
    if (this.#id(id).outcome !== 'acknowledged') this.acknowledge(id)
  }

  /** Nobody told. */
  lose(id: string): void {
    const one = this.#id(id)
    if (one.outcome !== 'pending') return
    one.outcome = 'unknown'
    this.counts.unknown++
  }

  beginRead(list: string): ReadStart {
    const { seen, acknowledged } = this.#list(list)
    return { list, seen: seen.length, acknowledged: acknowledged.length }
  }

  /** What a read showed that began at `start`. */
  endRead(start: ReadStart, ids: readonly string[], who = 'a read'): void {
    const name = start.list
    const list = this.#list(name)
    this.counts.reads++
    // What begins as a read did that was in order is in order so far.
    const goesOn = !list.doubtful && beginsWith(ids, list.seen)
    const places = goesOn ? list.places : new Set<string>()
    for (const id of goesOn ? ids.slice(list.seen.length) : ids) {
      if (places.has(id)) throw new SimFailure('doubled', `${who} of ${name} shows ${id} twice`)
      places.add(id)
      const known = this.#ids.get(id)
      if (known === undefined || !known.lists.includes(name))
        throw new SimFailure('appeared', `${who} of ${name} shows ${id}, which nobody appended`)
      if (known.outcome === 'refused')
        throw new SimFailure(
          'appeared',
          `${who} of ${name} shows ${id}, whose append was refused or rolled back`,
        )
    }
    for (let i = goesOn ? list.found : 0; i < start.acknowledged; i++) {
      const id = list.acknowledged[i] as string
      if (!places.has(id))
        throw new SimFailure('lost', `${who} of ${name} misses ${id}, which was acknowledged before`)
    }
    if (ids.length < start.seen)
      throw new SimFailure(
        'lost',
        `${who} of ${name} shows ${ids.length} ids, ${start.seen} were seen before`,
      )
    if (goesOn) {
      list.seen = ids
      list.found = Math.max(list.found, start.acknowledged)
      return
    }
    const both = Math.min(ids.length, list.seen.length)
    for (let i = 0; i < both; i++) {
      if (ids[i] !== list.seen[i])
        throw new SimFailure(
          'lost',
          `${who} of ${name} shows ${ids[i]} at place ${i} where ${list.seen[i]} was seen before`,
        )
    }
  }

  /** Lists that were read at one moment: what was appended to several of them at once is in all or none. */
  checkAtomic(reads: ReadonlyMap<string, readonly string[]>, who = 'a read'): void {
    const sets = new Map([...reads].map(([list, ids]) => [list, new Set(ids)]))
    for (const [list, ids] of reads) {
      for (const id of ids) {
        for (const other of this.#ids.get(id)?.lists ?? []) {
          if (other !== list && sets.get(other)?.has(id) === false)
            throw new SimFailure('I9', `${who} shows ${id} in ${list} and not in ${other}`)
        }
      }
    }
  }

  /** All lists that were ever appended to. */
  lists(): string[] {
    return [...this.#lists.keys()].sort()
  }

  #id(id: string): Id {
    const one = this.#ids.get(id)
    if (one === undefined) throw new RangeError(`nobody appended ${id}`)
    return one
  }

  #list(name: string): List {
    let list = this.#lists.get(name)
    if (list === undefined) {
      list = { seen: [], places: new Set(), acknowledged: [], found: 0, doubtful: false }
      this.#lists.set(name, list)
    }
    return list
  }
}

function beginsWith(ids: readonly string[], seen: readonly string[]): boolean {
  return ids.length >= seen.length && seen.every((id, i) => ids[i] === id)
}
