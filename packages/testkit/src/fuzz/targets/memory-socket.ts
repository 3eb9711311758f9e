/** Two ends of a connection that lives in memory: what is written to one is read from the other, in order, in chunks as written. */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'

export class MemorySocket extends Duplex {
  readonly remoteAddress: string
  readonly remotePort = 5_432
  #other: MemorySocket | undefined
  #resume: (() => void) | undefined

  private constructor(remoteAddress: string, allowHalfOpen: boolean) {
    super({ allowHalfOpen })
    this.remoteAddress = remoteAddress
  }

  /** Each end believes that the other is at this address; the first may say more after the second has said its last, if so wanted. */
  static pair(remoteAddress: string, allowHalfOpen = false): [MemorySocket, MemorySocket] {
    const [one, two] = [new MemorySocket(remoteAddress, allowHalfOpen), new MemorySocket(remoteAddress, true)]
    one.#other = two
    two.#other = one
    return [one, two]
  }

  /** As code that takes sockets sees it. */
  get asSocket(): Socket {
    return this as unknown as Socket
  }

  setNoDelay(): this {
    return this
  }

  override _read(): void {
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const other = this.#other
    if (other === undefined || other.destroyed) return done()
    if (other.push(Buffer.from(chunk))) done()
    else other.#resume = done
  }

  override _final(done: () => void): void {
    this.#other?.push(null)
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const other = this.#other
    this.#other = undefined
    this.#resume?.()
    if (other !== undefined && !other.destroyed) setImmediate(() => other.destroy())
    done(error)
  }
}

/** Writes the chunks in order, then says that nothing more comes. Resolves when the connection is over on both ends. */
export function play(socket: MemorySocket, chunks: readonly Uint8Array[]): Promise<void> {
  return new Promise((resolve) => {
    socket.on('error', () => undefined)
    socket.on('close', resolve)
    socket.resume()
    for (const chunk of chunks) socket.write(chunk)
    socket.end()
  })
}
