/**
 * One direction of one connection while fault points are allowed. Promise: messages pass their points one after the other, so that what follows a suspended
 * message waits behind it, as on a wire; heartbeats do not, because a process that is suspended at a point is not hung.
 */
import { isMessagePoint, type Message } from '@mirabelle/messages'
import type { FaultInjector } from './fault-injector.ts'

export class MessageFaults {
  readonly #injector: FaultInjector
  readonly #direction: 'send' | 'receive'
  /** Of a connection whose peer is an instance: messages that name no content are about its. */
  readonly #content: number
  readonly #broken: (error: unknown) => void
  #last: Promise<void> | undefined

  /** `broken`: an error was injected; the connection is to end with it. */
  constructor(
    injector: FaultInjector,
    direction: 'send' | 'receive',
    content: number,
    broken: (error: unknown) => void,
  ) {
    this.#injector = injector
    this.#direction = direction
    this.#content = content
    this.#broken = broken
  }

  /** Calls `go` when the message has passed; never when it is dropped or the connection broke. */
  pass(message: Message, go: () => void): void {
    if (this.#last !== undefined) {
      this.#chain(this.#last.then(() => this.#one(message, go)))
      return
    }
    const passing = this.#hit(message)
    if (passing === undefined) go()
    else this.#chain(this.#when(passing, go))
  }

  async #one(message: Message, go: () => void): Promise<void> {
    const passing = this.#hit(message)
    if (passing === undefined) go()
    else await this.#when(passing, go)
  }

  async #when(passing: Promise<boolean>, go: () => void): Promise<void> {
    if (await passing) go()
  }

  #chain(work: Promise<void>): void {
    const last = work.catch(this.#broken).finally(() => {
      if (this.#last === last) this.#last = undefined
    })
    this.#last = last
  }

  #hit(message: Message): Promise<boolean> | undefined {
    const point = `${this.#direction}.${message.type}`
    if (!isMessagePoint(point)) return undefined
    const { content } = message as { readonly content?: number }
    return this.#injector.passes(point, { content: content ?? this.#content })
  }
}
