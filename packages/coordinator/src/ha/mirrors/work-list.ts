/**
 * Who works on which content: recoveries, moves and switchovers of one content exclude each other (Greenplum's "recovery already running").
 * Lives as long as the coordinator role.
 */
import { MirabelleError, type Content } from '@mirabelle/messages'

interface Work {
  readonly what: string
  readonly done: Promise<unknown>
}

export class WorkList {
  readonly #running = new Map<Content, Work>()

  /** What is done to the content now. */
  runningOn(content: Content): string | undefined {
    return this.#running.get(content)?.what
  }

  /**
   * Does the work, or follows it when the very same runs already (its asker was interrupted and asks again). Rejects with `busy` when something
   * else is done to the content.
   */
  do<T>(content: Content, what: string, work: () => Promise<T>): Promise<T> {
    return this.doAll([content], what, work)
  }

  /** The same for work on several contents: it begins on all of them or on none. */
  doAll<T>(contents: readonly Content[], what: string, work: () => Promise<T>): Promise<T> {
    const running = contents.map((content) => this.#running.get(content))
    const [first] = running
    // The same name is the same work, with the same kind of result.
    if (first?.what === what && running.every((one) => one === first)) return first.done as Promise<T>
    const busy = contents.filter((_content, i) => running[i] !== undefined)
    const other = running.find((one) => one !== undefined)
    if (other !== undefined)
      return Promise.reject(
        new MirabelleError(
          'busy',
          `Found ${other.what} running for segments with contentIds [${busy.join(', ')}], skipping ${what}; wait for its end, or run the same command again to follow it`,
        ),
      )
    const done = work().finally(() => {
      for (const content of contents) this.#running.delete(content)
    })
    const mine: Work = { what, done }
    for (const content of contents) this.#running.set(content, mine)
    return done
  }
}

/** Runs all, at most `atOnce` at a time, in their order. */
export async function inParallel<T, R>(
  all: readonly T[],
  atOnce: number,
  work: (one: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < all.length) {
      const at = next++
      results[at] = await work(all[at] as T)
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, Math.min(atOnce, all.length)) }, worker))
  return results
}
