/** Speaks the protocol by hand: for what drivers never do. */
import { connect, type Socket } from 'node:net'
import { encodeStartup, forEachMessage } from '@mirabelle/pgwire'

export interface WireMessage {
  /** Type letter. */
  readonly type: string
  readonly body: Buffer
}

export class WireClient {
  readonly #socket: Socket
  #bytes: Buffer = Buffer.alloc(0)
  readonly #messages: WireMessage[] = []
  #wake: (() => void) | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      const end = forEachMessage(this.#bytes, (type, start, stop) => {
        this.#messages.push({
          type: String.fromCharCode(type),
          body: Buffer.from(this.#bytes.subarray(start + 5, stop)),
        })
      })
      this.#bytes = this.#bytes.subarray(end)
      this.#wake?.()
    })
    socket.on('error', () => undefined)
  }

  static async open(port: number, parameters: Record<string, string> = {}): Promise<WireClient> {
    const socket = connect(port, '127.0.0.1')
    const client = new WireClient(socket)
    socket.write(encodeStartup({ user: 'postgres', database: 'postgres', ...parameters }))
    await client.until('Z')
    return client
  }

  send(...messages: Uint8Array[]): void {
    this.#socket.write(Buffer.concat(messages))
  }

  /** All messages up to and including the `count`th of this type. */
  async until(type: string, count = 1): Promise<WireMessage[]> {
    for (;;) {
      let left = count
      const at = this.#messages.findIndex((message) => message.type === type && --left === 0)
      if (at >= 0) return this.#messages.splice(0, at + 1)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Types of all messages up to the `count`th ReadyForQuery, as one text. */
  async types(count = 1): Promise<string> {
    return (await this.until('Z', count)).map((message) => message.type).join('')
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

/** SQLSTATE of an ErrorResponse. */
export function sqlstate(message: WireMessage | undefined): string | undefined {
  return message?.body
    .toString('utf8')
    .split('\0')
    .find((field) => field.startsWith('C'))
    ?.slice(1)
}

/** Tag of a CommandComplete. */
export function tagOf(message: WireMessage | undefined): string | undefined {
  return message?.body.toString('utf8').replace(/\0$/, '')
}
