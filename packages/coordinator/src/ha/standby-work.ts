/** Keeps the pieces of the standby's administration from crossing each other. Lives as long as the coordinator role. */
import { MirabelleError, type ActionResult } from '@mirabelle/messages'

/** One piece of this work at a time. The same question again, while it is worked on, gets the same answer. */
export class StandbyWork {
  #running: { readonly key: string; readonly done: Promise<ActionResult[]> } | undefined

  do(key: string, work: () => Promise<ActionResult[]>): Promise<ActionResult[]> {
    if (this.#running?.key === key) return this.#running.done
    if (this.#running !== undefined)
      return Promise.reject(
        new MirabelleError(
          'busy',
          `${this.#running.key} is under way: wait for its end, or run it again to follow it`,
        ),
      )
    const done = work().finally(() => {
      this.#running = undefined
    })
    this.#running = { key, done }
    return done
  }
}
