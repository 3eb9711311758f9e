import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import {
  encodeStartup,
  forEachMessage,
  readErrorFields,
  type ErrorFields,
  type FrontDoor,
} from '@mirabelle/pgwire'

export interface Answer {
  /** Type byte as a letter. */
  readonly type: string
  /** The whole message. */
  readonly bytes: Buffer
}

/** A client that says exactly the bytes it is told to, and takes answers one by one. */
export class RawClient {
  readonly socket: Socket
  readonly #answers: Answer[] = []
  #partial = Buffer.alloc(0)
  #raw = false
  #wake: (() => void) | undefined
  #ended = false
  readonly closed: Promise<void>

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk) => this.#take(chunk))
    socket.on('error', () => undefined) // a reset counts as an end: 'close' follows
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#ended = true
        this.#wake?.()
        resolve()
      })
    })
  }

  static async open(door: FrontDoor): Promise<RawClient> {
    const socket = connect(door.address.port, door.address.host)
    await once(socket, 'connect')
    return new RawClient(socket)
  }

  /** Opens and starts up as user `u`; resolves at the first ReadyForQuery with all answers before it. */
  static async login(door: FrontDoor, minor = 0): Promise<{ client: RawClient; answers: Answer[] }> {
    const client = await RawClient.open(door)
    client.write(encodeStartup({ user: 'u', database: 'postgres' }, minor))
    return { client, answers: await client.until('Z') }
  }

  write(...parts: Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts))
  }

  /** The next message; undefined when the server has closed. */
  async next(): Promise<Answer | undefined> {
    for (;;) {
      const answer = this.#answers.shift()
      if (answer !== undefined) return answer
      if (this.#ended) return undefined
      await this.#input()
    }
  }

  /** The next bytes outside of any message, as the S or N of SSLRequest. */
  async byte(): Promise<string> {
    this.#raw = true
    while (this.#partial.length === 0 && !this.#ended) await this.#input()
    const byte = this.#partial.toString('latin1', 0, 1)
    this.#partial = this.#partial.subarray(1)
    this.#raw = false
    this.#take(Buffer.alloc(0))
    return byte
  }

  /** All messages up to and including the first of this type. @throws if the server closes before */
  async until(type: string): Promise<Answer[]> {
    const answers: Answer[] = []
    for (;;) {
      const answer = await this.next()
      if (answer === undefined)
        throw new Error(`closed before ${type}; got ${answers.map((a) => a.type).join('')}`)
      answers.push(answer)
      if (answer.type === type) return answers
    }
  }

  /** Everything until the server closes. */
  async rest(): Promise<Answer[]> {
    const answers: Answer[] = []
    for (let answer = await this.next(); answer !== undefined; answer = await this.next())
      answers.push(answer)
    return answers
  }

  /** The error that the server says before it closes. */
  async goodbye(): Promise<ErrorFields | undefined> {
    const error = (await this.rest()).find((answer) => answer.type === 'E')
    return error && errorOf(error)
  }

  #input(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #take(chunk: Buffer): void {
    const bytes = Buffer.concat([this.#partial, chunk])
    this.#partial = bytes
    if (!this.#raw) {
      const end = forEachMessage(bytes, (type, start, stop) => {
        this.#answers.push({ type: String.fromCharCode(type), bytes: bytes.subarray(start, stop) })
      })
      this.#partial = bytes.subarray(end)
    }
    this.#wake?.()
  }
}

export function errorOf(answer: Answer): ErrorFields {
  return readErrorFields(answer.bytes, 0, answer.bytes.length)
}

export const types = (answers: readonly Answer[]): string => answers.map((answer) => answer.type).join('')
