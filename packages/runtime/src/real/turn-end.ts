/**
 * Work put off to the end of this turn of the event loop. One for the process.
 *
 * What such work puts off itself still runs in the same turn, so that a batch that ends in another one (statements in a frame, frames in a write)
 * costs no turn of its own: each turn asks the operating system what is ready. After a few rounds the next turn begins, whatever is left.
 */

/** Rounds of one turn. */
const MAX_ROUNDS = 4

export class TurnEnd {
  #due: (() => void)[] = []
  /** 0 = no turn is ending. */
  #round = 0

  add(fn: () => void): void {
    this.#due.push(fn)
    if (this.#due.length === 1 && this.#round === 0) setImmediate(this.#run)
  }

  readonly #run = (): void => {
    const due = this.#due
    this.#due = []
    this.#round++
    let done = 0
    try {
      while (done < due.length) (due[done++] as () => void)()
    } finally {
      // One that threw takes the others not with it.
      if (done < due.length) this.#due = [...due.slice(done), ...this.#due]
      this.#goOn()
    }
  }

  #goOn(): void {
    if (this.#due.length > 0 && this.#round < MAX_ROUNDS) {
      // Behind the promises that are ready now.
      queueMicrotask(this.#run)
      return
    }
    this.#round = 0
    if (this.#due.length > 0) setImmediate(this.#run)
  }
}
