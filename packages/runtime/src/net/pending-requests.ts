/** Requests of one connection that wait for their answers. Bounded; each ends with its answer, its timeout or the connection. */
import { messageCatalog, MirabelleError } from '@mirabelle/messages'
import type { Message, MessageOf, ReplyOf, RequestType } from '@mirabelle/messages'
import type { Clock, Timer } from '../ports/clock.ts'
import { fromErrorMessage } from '../wire/wire-error.ts'

/** Requests that may wait at one time on one connection. */
export const MAX_OUTSTANDING_REQUESTS = 10_000

interface Waiting {
  readonly type: RequestType
  readonly resolve: (reply: never) => void
  readonly reject: (error: MirabelleError) => void
  readonly timer: Timer
}

export class PendingRequests {
  readonly #clock: Clock
  readonly #peerName: string
  readonly #waiting = new Map<number, Waiting>()
  #lastRid = 0

  constructor(clock: Clock, peerName: string) {
    this.#clock = clock
    this.#peerName = peerName
  }

  /** Gives the request a number, hands it to `send`, and waits. Rejects with `queue.full`, `timeout`, or what the peer says. */
  start<K extends RequestType>(
    message: MessageOf<K>,
    timeoutMs: number,
    send: (rid: number) => void,
  ): Promise<ReplyOf<K>> {
    if (this.#waiting.size >= MAX_OUTSTANDING_REQUESTS)
      return Promise.reject(
        new MirabelleError(
          'queue.full',
          `${MAX_OUTSTANDING_REQUESTS} requests to ${this.#peerName} wait already`,
        ),
      )
    return new Promise((resolve, reject) => {
      const rid = ++this.#lastRid
      send(rid)
      const timer = this.#clock.setTimer(timeoutMs, () => {
        this.#waiting.delete(rid)
        reject(
          new MirabelleError(
            'timeout',
            `no answer to ${message.type} from ${this.#peerName} within ${timeoutMs} ms`,
          ),
        )
      })
      this.#waiting.set(rid, { type: message.type, resolve, reject, timer })
    })
  }

  /** Takes an answer. One that comes after its timeout is dropped. Throws `message.bad` for what cannot be an answer. */
  settle(re: number, message: Message): void {
    if (re > this.#lastRid)
      throw new MirabelleError('message.bad', `${message.type} answers request ${re}, which was never sent`)
    const waiting = this.#waiting.get(re)
    if (waiting === undefined) return
    const expected = messageCatalog[waiting.type].reply
    if (message.type !== 'error' && message.type !== expected)
      throw new MirabelleError(
        'message.bad',
        `${waiting.type} was answered with ${message.type}, not ${expected}`,
      )
    this.#waiting.delete(re)
    waiting.timer.clear()
    if (message.type === 'error') waiting.reject(fromErrorMessage(message))
    else waiting.resolve(message as never)
  }

  /** Ends all of them with this reason. */
  failAll(reason: MirabelleError): void {
    const all = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const waiting of all) {
      waiting.timer.clear()
      waiting.reject(reason)
    }
  }
}
