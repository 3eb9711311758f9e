/**
 * Which lanes the transactions of one session need together. A transaction that holds one lane and comes to need another can deadlock with one that does it the other way
 * round; entered at one moment they cannot. What a session's next transaction will need nobody knows, but mostly it is what its last ones needed.
 */
import type { Content } from '@mirabelle/messages'

/** After so many transactions in a row on one content each, what others needed before is forgotten. */
const FORGET_AFTER = 16
/** A session that needs now these and now those is not foreseen: it would hold everybody up. */
const MOST = 4

export class Foresight {
  #contents: ReadonlySet<Content> = new Set()
  #single = 0

  /** Contents whose lanes are worth entering with the first one. */
  get contents(): ReadonlySet<Content> {
    return this.#contents.size > MOST ? new Set() : this.#contents
  }

  /** A transaction has ended that asked for these. The coordinator's own lane is never entered on suspicion: everybody needs it. */
  learn(asked: ReadonlySet<Content>): void {
    const contents = [...asked].filter((content) => content >= 0)
    if (contents.length > 1) {
      this.#single = 0
      this.#contents = new Set([...this.#contents, ...contents])
    } else if (++this.#single >= FORGET_AFTER) this.#contents = new Set()
  }
}
