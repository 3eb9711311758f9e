/** What is to happen, ordered by time and then by the order in which it was planned. */

export interface SimEvent {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
  cancelled: boolean
}

export class EventHeap<E extends SimEvent> {
  readonly #events: E[] = []

  get size(): number {
    return this.#events.length
  }

  peek(): E | undefined {
    return this.#events[0]
  }

  push(event: E): void {
    const events = this.#events
    let at = events.length
    events.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = events[parent] as E
      if (before(above, event)) break
      events[at] = above
      at = parent
    }
    events[at] = event
  }

  pop(): E | undefined {
    const events = this.#events
    const first = events[0]
    const last = events.pop()
    if (first === undefined || last === undefined || events.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= events.length) break
      if (child + 1 < events.length && before(events[child + 1] as E, events[child] as E)) child++
      const below = events[child] as E
      if (before(last, below)) break
      events[at] = below
      at = child
    }
    events[at] = last
    return first
  }
}

function before(a: SimEvent, b: SimEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
