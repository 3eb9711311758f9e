/** Clients that place one order after the other, and what they were told. */
import type { FailoverPool } from './failover-pool.ts'
import { placeOrder } from './orders.ts'

const ARTICLES = 1_000

export class Shop {
  readonly #pool: FailoverPool
  /** Ids of the acknowledged orders. */
  readonly orders: string[] = []
  /** Why orders were refused in the end. */
  readonly refused: string[] = []
  #isOpen = true
  #lastAt = performance.now()
  #longestGapMs = 0

  constructor(pool: FailoverPool) {
    this.#pool = pool
  }

  /** Resolves when all clients have gone, after `close`. */
  async open(clients: number): Promise<void> {
    await Promise.all(Array.from({ length: clients }, (_, i) => this.#client(`customer ${i + 1}`, i)))
  }
  close(): void {
    this.#isOpen = false
  }

  /** The longest time without an acknowledged order is measured from now on. */
  beginGap(): void {
    this.#lastAt = performance.now()
    this.#longestGapMs = 0
  }
  longestGapMs(): number {
    return Math.round(Math.max(this.#longestGapMs, performance.now() - this.#lastAt))
  }

  async #client(name: string, seed: number): Promise<void> {
    for (let turn = seed; this.#isOpen; turn += 7) {
      try {
        this.orders.push(await placeOrder(this.#pool, name, turn % ARTICLES))
        const now = performance.now()
        this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastAt)
        this.#lastAt = now
      } catch (error) {
        // Not acknowledged: it may be there (whole) or not, and the customer was told so.
        this.refused.push((error as Error).message)
      }
    }
  }
}
