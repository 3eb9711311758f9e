/**
 * The output of one statement that streams: pieces go out while the coordinator has given credit, and PostgreSQL waits while
 * it has not (I11). The first piece waits until everything that the statement can have read may be told (I1 for reads).
 */

/** Bytes that may be under way without having been passed on. */
export const WINDOW_BYTES = 1024 * 1024

export class OutputWindow {
  readonly #mayFlow: () => Promise<unknown>
  readonly #send: (chunk: Uint8Array) => void
  #flowing = false
  #unpaid = 0
  #dropped = false
  #wake: (() => void) | undefined

  constructor(mayFlow: () => Promise<unknown>, send: (chunk: Uint8Array) => void) {
    this.#mayFlow = mayFlow
    this.#send = send
  }

  /** Takes a piece; the promise is pending while PostgreSQL has to wait. Rejects when nothing may be told any more. */
  readonly take = (chunk: Uint8Array): void | Promise<void> => {
    if (this.#dropped) return
    if (this.#flowing && chunk.length <= WINDOW_BYTES) {
      this.#put(chunk)
      if (this.#unpaid < WINDOW_BYTES) return
      return this.#credited()
    }
    return this.#takeSlowly(chunk)
  }

  credit(bytes: number): void {
    this.#unpaid -= bytes
    if (this.#unpaid < WINDOW_BYTES) this.#awake()
  }

  /** Nobody listens any more. */
  drop(): void {
    this.#dropped = true
    this.#awake()
  }

  async #takeSlowly(chunk: Uint8Array): Promise<void> {
    if (!this.#flowing) {
      await this.#mayFlow()
      this.#flowing = true
    }
    for (let at = 0; at < chunk.length && !this.#dropped; at += WINDOW_BYTES) {
      this.#put(chunk.subarray(at, at + WINDOW_BYTES))
      if (this.#unpaid >= WINDOW_BYTES) await this.#credited()
    }
  }

  #put(piece: Uint8Array): void {
    this.#unpaid += piece.length
    this.#send(piece)
  }

  #credited(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #awake(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}
