/**
 * The mailbox of an actor: what arrives is queued and handled one at a time, in order, at the actor's own pace. Bounded; the
 * owner says what happens when it is full. Lives until `close()`.
 */
import { MirabelleError } from '@mirabelle/messages'

export interface MailboxOptions<T> {
  /** For errors and logs. */
  readonly name: string
  /** Letters that may wait. */
  readonly limit: number
  /** Handles one letter; the next waits until it is done. */
  readonly handle: (letter: T) => void | Promise<void>
  /** A letter whose handling threw. The mailbox goes on. */
  readonly failed: (error: unknown, letter: T) => void
  /** `reject` (default): `post` throws `queue.full`. `dropOldest`: the oldest that waits makes room. */
  readonly whenFull?: 'reject' | 'dropOldest'
}

export class Mailbox<T> {
  readonly #options: MailboxOptions<T>
  #letters: T[] = []
  /** Letters before it are handled. */
  #head = 0
  #running = false
  #closed = false
  #idle: (() => void)[] = []
  /** Letters that made room for newer ones. */
  dropped = 0

  constructor(options: MailboxOptions<T>) {
    this.#options = options
  }

  /** Letters that wait, without the one being handled. */
  get length(): number {
    return this.#letters.length - this.#head
  }

  /** Queues a letter; handling starts after the caller's turn. Dropped silently after `close()`. */
  post(letter: T): void {
    if (this.#closed) return
    if (this.length >= this.#options.limit) {
      if (this.#options.whenFull !== 'dropOldest')
        throw new MirabelleError(
          'queue.full',
          `the mailbox of ${this.#options.name} holds ${this.#options.limit} letters`,
        )
      this.#take()
      this.dropped++
    }
    this.#letters.push(letter)
    if (!this.#running) {
      this.#running = true
      queueMicrotask(() => void this.#run())
    }
  }

  /** Resolves when nothing waits and nothing is being handled. */
  idle(): Promise<void> {
    return this.#running ? new Promise((resolve) => this.#idle.push(resolve)) : Promise.resolve()
  }

  /** Drops what waits and takes nothing more; what is being handled goes on. */
  close(): void {
    this.#closed = true
    this.#letters = []
    this.#head = 0
  }

  async #run(): Promise<void> {
    while (this.length > 0) {
      const letter = this.#take()
      try {
        const handling = this.#options.handle(letter)
        if (handling !== undefined) await handling
      } catch (error) {
        this.#options.failed(error, letter)
      }
    }
    this.#running = false
    const idle = this.#idle
    this.#idle = []
    for (const resolve of idle) resolve()
  }

  #take(): T {
    const letter = this.#letters[this.#head++] as T
    if (this.#head === this.#letters.length || this.#head > 1000) {
      this.#letters = this.#letters.slice(this.#head)
      this.#head = 0
    }
    return letter
  }
}
