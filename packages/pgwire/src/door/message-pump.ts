/**
 * Hands the messages of one authenticated client to its session, one after the other.
 *
 * Started by the connection after login; ends with `stop()`. Promises: order is kept; a message follows the one before only when
 * the session has finished with that and the client has read enough of the answers; what waits meanwhile is bounded.
 */
import type { FrontendParser } from '../codec/frontend-parser.ts'
import { Frontend } from '../codec/message-types.ts'
import type { FrontSession } from './front-door-types.ts'
import type { Output } from './output.ts'

export interface PumpOptions {
  readonly session: FrontSession
  readonly parser: FrontendParser
  readonly output: Output
  readonly maxQueuedBytes: number
  /** Stops and goes on reading the socket; may be called when it is so already. */
  readonly pauseInput: () => void
  readonly resumeInput: () => void
  /** The client said Terminate. */
  readonly onTerminate: () => void
  /** The session failed, or the client broke the protocol. */
  readonly onFailure: (error: unknown) => void
}

export class MessagePump {
  readonly #options: PumpOptions
  /** The session has not finished with its last message, or the client has not read enough. */
  #busy = false
  #stopped = false

  constructor(options: PumpOptions) {
    this.#options = options
  }

  /** Hands over messages as long as the session takes them at once. Called whenever input has arrived. */
  pump(): void {
    const { session, parser, output } = this.#options
    if (this.#stopped) return
    if (this.#busy) {
      if (parser.queuedBytes > this.#options.maxQueuedBytes) this.#options.pauseInput()
      return
    }
    try {
      for (let message = parser.next(); message !== undefined; message = parser.next()) {
        if (message.type === Frontend.terminate) return this.#options.onTerminate()
        const pending = session.handle(message)
        if (this.#stopped) return
        if (pending !== undefined) return this.#await(pending)
        if (output.full) return this.#await(output.drained())
      }
    } catch (error) {
      return this.#options.onFailure(error)
    }
    this.#options.resumeInput()
  }

  /** No message is handed over any more. */
  stop(): void {
    this.#stopped = true
  }

  #await(pending: Promise<void>): void {
    this.#busy = true
    pending.then(this.#onSettled, this.#onRejected)
  }

  readonly #onSettled = (): void => {
    this.#busy = false
    if (this.#stopped) return
    const { output } = this.#options
    if (output.full) this.#await(output.drained())
    else this.pump()
  }

  readonly #onRejected = (error: unknown): void => {
    if (!this.#stopped) this.#options.onFailure(error)
  }
}
