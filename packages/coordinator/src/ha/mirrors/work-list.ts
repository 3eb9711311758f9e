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
    const running = this.#running.get(content)
    // The same name is the same work, with the same kind of result.
    if (running?.what === what) return running.done as Promise<T>
    if (running !== undefined)
      return Promise.reject(
        new MirabelleError(
          'busy',
          `Found ${running.what} running for segments with contentIds [${content}], skipping ${what}; wait for its end, or run the same command again to follow it`,
        ),
      )
    const done = work().finally(() => this.#running.delete(content))
    this.#running.set(content, { what, done })
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
