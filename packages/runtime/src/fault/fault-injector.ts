/**
 * The fault points of one process (docs/fault-points.md): what is set at them, and what happens when the process gets there.
 *
 * Made once by the main of a process that was started with fault points allowed; lives as long as it. In every other process `faults` is undefined, and
 * a point costs a look at it. Nothing here survives the process, and nothing goes through the ports: a suspended process is meant to look hung.
 */
import {
  isFaultPoint,
  isMessagePoint,
  isThreadFaultPoint,
  MirabelleError,
  ThreadFaults,
  type Fault,
  type FaultPoint,
  type FaultRow,
} from '@mirabelle/messages'
import { crashHere } from './crash.ts'

/** How often the hits of a thread are looked at, ms. */
const THREAD_LOOK_MS = 5

interface Entry {
  readonly fault: Fault
  hits: number
  /** Lets those go that are suspended. */
  readonly suspended: Set<() => void>
  /** Who waits for so many hits. */
  readonly waiting: Set<{ readonly hits: number; readonly reached: () => void }>
  resumed: boolean
}

/** What a point is about, for faults that are meant for one content. */
export interface FaultSubject {
  readonly content: number
}

export class FaultInjector {
  /** Points of the engine's thread, which looks at them in shared memory. */
  readonly thread = new ThreadFaults()
  readonly #entries = new Map<FaultPoint, Entry>()

  /** Sets a fault. Throws `fault.refused` for a point or an action that there is not, or when one is set there already. */
  inject(fault: Fault): void {
    const { point, action, startOccurrence, endOccurrence } = fault
    if (!isFaultPoint(point)) throw refused(`there is no fault point ${String(point)}`)
    if (action === 'skip' && !isMessagePoint(point))
      throw refused(`only messages can be skipped, not ${point}`)
    if (startOccurrence < 1 || (endOccurrence !== -1 && endOccurrence < startOccurrence))
      throw refused(`occurrences ${startOccurrence} to ${endOccurrence} of ${point} are no range`)
    if (this.#entries.has(point)) throw refused(`a fault is set at ${point} already: reset it first`)
    this.#entries.set(point, { fault, hits: 0, suspended: new Set(), waiting: new Set(), resumed: false })
    if (isThreadFaultPoint(point)) this.thread.set({ ...fault, point })
  }

  /** Lets go on what is suspended there; nothing is suspended there any more. */
  resume(point: FaultPoint): void {
    const entry = this.#entry(point)
    entry.resumed = true
    this.#release(entry)
  }

  /** Forgets a fault, or all of them. */
  reset(point: FaultPoint | null): void {
    const wanted = point === null ? [...this.#entries.keys()] : [point]
    for (const one of wanted) {
      const entry = this.#entries.get(one)
      this.#entries.delete(one)
      if (entry !== undefined) this.#release(entry)
    }
  }

  rows(): FaultRow[] {
    return [...this.#entries.values()].map((entry) => {
      const { fault, suspended } = entry
      const hits = this.#hits(entry)
      const waits = isThreadFaultPoint(fault.point) ? this.thread.suspended(fault.point) : suspended.size
      return { ...fault, state: stateOf(entry, hits), hits, suspended: waits }
    })
  }

  /** Resolves when the point was reached so often since its fault was set. Rejects with `timeout`. */
  reached(point: FaultPoint, hits: number, timeoutMs: number): Promise<void> {
    const entry = this.#entry(point)
    if (this.#hits(entry) >= hits) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const look = setInterval(() => {
        // Its thread tells nobody.
        if (isThreadFaultPoint(point) && this.#hits(entry) >= hits) waiter.reached()
      }, THREAD_LOOK_MS)
      const waiter = {
        hits,
        reached: (): void => {
          clearTimeout(timer)
          clearInterval(look)
          entry.waiting.delete(waiter)
          resolve()
        },
      }
      const timer = setTimeout(() => {
        clearInterval(look)
        entry.waiting.delete(waiter)
        const sentence = `${point} was reached ${this.#hits(entry)} times within ${timeoutMs} ms, not ${hits}`
        reject(new MirabelleError('timeout', sentence))
      }, timeoutMs)
      entry.waiting.add(waiter)
    })
  }

  /** The process is at a point: resolves when it may go on; rejects with `fault.injected`; or does not come back. */
  async at(point: FaultPoint, about?: FaultSubject): Promise<void> {
    await this.passes(point, about)
  }

  /** The same for a message; resolves to false when it is to be dropped. Undefined when nothing is set there: it passes at once. */
  passes(point: FaultPoint, about?: FaultSubject): Promise<boolean> | undefined {
    const entry = this.#entries.get(point)
    if (entry === undefined || (entry.fault.content !== null && entry.fault.content !== about?.content))
      return undefined
    entry.hits++
    for (const waiter of entry.waiting) if (entry.hits >= waiter.hits) waiter.reached()
    const { startOccurrence, endOccurrence } = entry.fault
    if (entry.hits < startOccurrence || (endOccurrence !== -1 && entry.hits > endOccurrence)) return undefined
    return this.#happens(entry)
  }

  #happens(entry: Entry): Promise<boolean> | undefined {
    const { point, action, sleepMs } = entry.fault
    switch (action) {
      case 'crash':
        return crashHere(point)
      case 'error':
        return Promise.reject(new MirabelleError('fault.injected', `fault point ${point}: error`))
      case 'skip':
        return Promise.resolve(false)
      case 'sleep':
        return new Promise((resolve) => setTimeout(() => resolve(true), sleepMs))
      case 'suspend':
        if (entry.resumed) return undefined
        return new Promise((resolve) => {
          entry.suspended.add(() => resolve(true))
        })
    }
  }

  #hits({ fault, hits }: Entry): number {
    return isThreadFaultPoint(fault.point) ? this.thread.hits(fault.point) : hits
  }

  #release({ fault, suspended }: Entry): void {
    if (isThreadFaultPoint(fault.point)) this.thread.clear(fault.point)
    const letGo = [...suspended]
    suspended.clear()
    for (const one of letGo) one()
  }

  #entry(point: FaultPoint): Entry {
    const entry = this.#entries.get(point)
    if (entry === undefined) throw refused(`no fault is set at ${point}`)
    return entry
  }
}

function stateOf({ fault, resumed }: Entry, hits: number): FaultRow['state'] {
  if (hits < fault.startOccurrence) return 'set'
  return resumed || (fault.endOccurrence !== -1 && hits >= fault.endOccurrence) ? 'completed' : 'triggered'
}

/** What cannot be asked of a fault point, with why. */
export function refused(why: string): MirabelleError {
  return new MirabelleError('fault.refused', why)
}
