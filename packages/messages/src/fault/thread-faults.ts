/**
 * Fault points of a thread that does not come back to its event loop while it works: the one that runs PostgreSQL. What is set at them is told through shared
 * memory, and the thread waits in place. Made by the process's fault injector; the thread gets the buffer when it is started.
 */
import type { Fault } from './fault.ts'

/** The points of the engine's thread. */
export const threadFaultPoints = ['fsync.data.before', 'fsync.data.after'] as const
export type ThreadFaultPoint = (typeof threadFaultPoints)[number]

const ACTIONS = ['none', 'suspend', 'error', 'crash', 'sleep'] as const
/** Numbers of a point. */
const ACTION = 0
const START = 1
const END = 2
const SLEEP_MS = 3
const HITS = 4
const SUSPENDED = 5
const NUMBERS = 6

export function isThreadFaultPoint(name: string): name is ThreadFaultPoint {
  return (threadFaultPoints as readonly string[]).includes(name)
}

export class ThreadFaults {
  readonly buffer: SharedArrayBuffer
  readonly #numbers: Int32Array

  constructor(buffer = new SharedArrayBuffer(threadFaultPoints.length * NUMBERS * 4)) {
    this.buffer = buffer
    this.#numbers = new Int32Array(buffer)
  }

  // ---- the process's side -------------------------------------------------------------------------------------------------

  set({
    point,
    action,
    startOccurrence,
    endOccurrence,
    sleepMs,
  }: Fault & { readonly point: ThreadFaultPoint }): void {
    const at = first(point)
    for (const [index, value] of [
      [START, startOccurrence],
      [END, endOccurrence],
      [SLEEP_MS, sleepMs],
      [HITS, 0],
    ] as const)
      Atomics.store(this.#numbers, at + index, value)
    Atomics.store(this.#numbers, at + ACTION, ACTIONS.indexOf(action as (typeof ACTIONS)[number]))
  }

  /** Nothing happens there any more; what waits goes on. The number of hits stays. */
  clear(point: ThreadFaultPoint): void {
    Atomics.store(this.#numbers, first(point) + ACTION, 0)
    Atomics.notify(this.#numbers, first(point) + ACTION)
  }

  hits(point: ThreadFaultPoint): number {
    return Atomics.load(this.#numbers, first(point) + HITS)
  }
  suspended(point: ThreadFaultPoint): number {
    return Atomics.load(this.#numbers, first(point) + SUSPENDED)
  }

  // ---- the thread's side --------------------------------------------------------------------------------------------------

  /** The thread is at the point: returns when it may go on, throws for `error`; `crash` ends the process. */
  at(point: ThreadFaultPoint, crash: (point: string) => never): void {
    const at = first(point)
    const numbers = this.#numbers
    const number = Atomics.load(numbers, at + ACTION)
    const action = ACTIONS[number]
    if (action === undefined || action === 'none') return
    const hits = Atomics.add(numbers, at + HITS, 1) + 1
    const end = Atomics.load(numbers, at + END)
    if (hits < Atomics.load(numbers, at + START) || (end !== -1 && hits > end)) return
    switch (action) {
      case 'crash':
        return crash(point)
      case 'error':
        throw new Error(`fault point ${point}: error`)
      case 'sleep':
        Atomics.wait(numbers, at + ACTION, number, Atomics.load(numbers, at + SLEEP_MS))
        return
      case 'suspend':
        Atomics.add(numbers, at + SUSPENDED, 1)
        Atomics.wait(numbers, at + ACTION, number)
        Atomics.sub(numbers, at + SUSPENDED, 1)
    }
  }
}

const first = (point: ThreadFaultPoint): number => threadFaultPoints.indexOf(point) * NUMBERS
