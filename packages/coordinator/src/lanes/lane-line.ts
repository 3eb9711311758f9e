/**
 * One backend of a lane, from the attempt to open it until it is gone. Made by `Lane.attach`, ended once by the lane.
 * Promise: after its end nothing that it still says or that was begun for it counts, and whoever awaits it through `during` is let go.
 */
import type { Content, MirabelleError } from '@mirabelle/messages'
import { BackendState } from './backend-state.ts'
import type { LaneBackend } from './lane-backend.ts'
import { SendWindow } from './send-window.ts'
import type { Sent } from './sent.ts'

export class LaneLine {
  #backend: LaneBackend | undefined
  #state: BackendState | undefined
  #window: SendWindow | undefined
  #over: MirabelleError | undefined
  #letGo: (reason: MirabelleError) => void = () => {}
  readonly #gone: Promise<never>
  readonly #content: Content
  readonly #send: (sent: Sent) => void

  constructor(content: Content, send: (sent: Sent) => void) {
    this.#content = content
    this.#send = send
    this.#gone = new Promise((_resolve, reject) => {
      this.#letGo = reject
    })
    this.#gone.catch(() => undefined) // whoever waits gets it through `during`
  }

  get backend(): LaneBackend | undefined {
    return this.#backend
  }
  get state(): BackendState | undefined {
    return this.#state
  }
  get window(): SendWindow | undefined {
    return this.#window
  }
  /** Why it has ended, or undefined while it lives. */
  get over(): MirabelleError | undefined {
    return this.#over
  }

  /** Takes the backend that was opened for it; one that comes after the end is closed. */
  async open(opening: Promise<LaneBackend>): Promise<LaneBackend> {
    opening.then(
      (backend) => {
        if (this.#over !== undefined) backend.close()
      },
      () => undefined, // told through `during`
    )
    const backend = await this.during(opening)
    this.#backend = backend
    this.#state = new BackendState(backend.generation)
    this.#window = new SendWindow(this.#content, backend.limits, this.#send)
    return backend
  }

  /** The work, or a rejection as soon as the line has ended. */
  async during<T>(work: Promise<T>): Promise<T> {
    const result = await Promise.race([work, this.#gone])
    if (this.#over !== undefined) throw this.#over
    return result
  }

  /** Ends it; the first reason stands. */
  end(reason: MirabelleError): void {
    if (this.#over !== undefined) return
    this.#over = reason
    this.#letGo(reason)
  }
}
