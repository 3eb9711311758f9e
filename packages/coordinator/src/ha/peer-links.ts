/**
 * Long-lived control connections to other processes of the cluster, one per endpoint, made when they are first needed and again after a
 * loss. Used for probes, promotions, agents. Ended with the coordinator role.
 */
import {
  MirabelleError,
  type Endpoint,
  type Message,
  type MessageOf,
  type ReplyOf,
  type RequestType,
} from '@mirabelle/messages'
import type { Connection, Hello, Ports } from '@mirabelle/runtime'

export interface PeerLinkOptions {
  readonly ports: Ports
  readonly name: string
  readonly endpoint: Endpoint
  readonly hello: () => Hello
  /** Asked at each new connection, ms. */
  readonly silenceTimeoutMs: () => number
  /** Messages that are no answers. */
  readonly onMessage?: (message: Message) => void
  /** A new connection stands. */
  readonly onConnected?: () => void
  /** A connection that stood is gone. */
  readonly onLost?: (reason: MirabelleError) => void
}

export class PeerLink {
  readonly #options: PeerLinkOptions
  #connection: Connection | undefined
  #connecting: Promise<Connection> | undefined
  #closed = false

  constructor(options: PeerLinkOptions) {
    this.#options = options
  }

  get connected(): boolean {
    return this.#connection !== undefined && !this.#connection.closed
  }

  /** Connects if need be. */
  async connect(timeoutMs: number): Promise<Connection> {
    if (this.#closed)
      throw new MirabelleError('connection.lost', `the link to ${this.#options.name} is closed`)
    if (this.#connection !== undefined && !this.#connection.closed) return this.#connection
    this.#connecting ??= this.#open(timeoutMs).finally(() => {
      this.#connecting = undefined
    })
    return this.#connecting
  }

  async #open(timeoutMs: number): Promise<Connection> {
    const { ports, endpoint, hello, silenceTimeoutMs } = this.#options
    const connection = await ports.network.connect(endpoint, hello(), {
      timeoutMs,
      silenceTimeoutMs: silenceTimeoutMs(),
    })
    if (this.#closed) {
      connection.close()
      throw new MirabelleError('connection.lost', `the link to ${this.#options.name} is closed`)
    }
    this.#connection = connection
    connection.setHandlers({
      onMessage: (message) => this.#options.onMessage?.(message),
      onClose: (reason) => {
        if (this.#connection === connection) this.#connection = undefined
        if (!this.#closed) this.#options.onLost?.(reason)
      },
    })
    this.#options.onConnected?.()
    return connection
  }

  /** One attempt: connects if need be, asks, waits. `timeoutMs` bounds all of it. */
  async request<K extends RequestType>(message: MessageOf<K>, timeoutMs: number): Promise<ReplyOf<K>> {
    const started = this.#options.ports.clock.monotonic()
    const connection = await this.connect(timeoutMs)
    const left = Math.max(1, timeoutMs - (this.#options.ports.clock.monotonic() - started))
    return connection.request(message, left)
  }

  /** Drops the connection; the next request makes a new one. */
  drop(reason: MirabelleError): void {
    this.#connection?.close(reason)
  }

  close(): void {
    this.#closed = true
    this.#connection?.close(
      new MirabelleError('connection.lost', `the link to ${this.#options.name} is closed`),
    )
  }
}
