/**
 * Who works on which content: recoveries, moves and switchovers of one content exclude each other (Greenplum's "recovery already running").
 * Lives as long as the coordinator role.
 */
import { MirabelleError, type Content, type SegmentRow } from '@mirabelle/messages'

interface Work {
  readonly what: string
  readonly done: Promise<unknown>
}

interface Claim {
  readonly who: string
  times: number
}

export class WorkList {
  readonly #running = new Map<Content, Work>()
  /** dbids, folders and ports of instances in the making. */
  readonly #claims = new Map<string, Claim>()

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

  /**
   * The dbid, the folder and the ports of an instance that is made are its own from here on, until the function that this gives is called. Plans reserve nothing: two of
   * them may name the same. Throws `busy` when other work has one of them; the same work may claim them again.
   */
  claim(row: SegmentRow): () => void {
    const who = `dbid ${row.dbid} of content ${row.content} on ${row.hostname}:${row.port}`
    const keys = claimed(row)
    const taken = keys.map((key) => this.#claims.get(key)).find((one) => one !== undefined && one.who !== who)
    if (taken !== undefined)
      throw new MirabelleError(
        'busy',
        `${taken.who} is being made, which has the dbid, the folder or a port of ${who}: run the same command again, it gets others`,
      )
    for (const key of keys) {
      const claim = this.#claims.get(key) ?? { who, times: 0 }
      claim.times += 1
      this.#claims.set(key, claim)
    }
    return () => {
      for (const key of keys) {
        const claim = this.#claims.get(key)
        if (claim !== undefined && --claim.times === 0) this.#claims.delete(key)
      }
    }
  }
}

function claimed({ dbid, hostname, datadir, port, endpoint }: SegmentRow): string[] {
  const ports = [...new Set([port, endpoint.port])]
  return [
    `dbid ${dbid}`,
    `folder ${hostname}:${datadir}`,
    ...ports.flatMap((one) => endpoint.addresses.map((address) => `port ${address}:${one}`)),
  ]
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
