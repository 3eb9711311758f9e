/** What happened when: printed as it happens, kept for the result. */

export interface TimelineEvent {
  /** ms since the demo began. */
  readonly atMs: number
  readonly event: string
}

export class Timeline {
  readonly events: TimelineEvent[] = []
  readonly #begun = performance.now()
  readonly #print: (line: string) => void

  constructor(print: (line: string) => void) {
    this.#print = print
  }

  /** ms since the beginning. */
  now(): number {
    return performance.now() - this.#begun
  }

  add(event: string): void {
    const atMs = Math.round(this.now())
    this.events.push({ atMs, event })
    this.#print(`${(atMs / 1000).toFixed(3).padStart(9)} s  ${event}`)
  }
}
