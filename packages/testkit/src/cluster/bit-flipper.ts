/**
 * A TCP proxy that can damage what passes through it: stands between a mirror and its primary, whose connection carries no encryption on one
 * machine. Ended by `close`, with all connections through it.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'

interface Damage {
  wanted: number
  done: number
  leastBytes: number
}

export class BitFlipper {
  /** Where to connect. */
  readonly port: number
  readonly #server: Server
  readonly #sockets: Set<Socket>
  readonly #damage: Damage

  private constructor(server: Server, port: number, sockets: Set<Socket>, damage: Damage) {
    this.#server = server
    this.port = port
    this.#sockets = sockets
    this.#damage = damage
  }

  /** Passes everything on to `target` on this machine. */
  static start(target: number): Promise<BitFlipper> {
    const sockets = new Set<Socket>()
    const damage: Damage = { wanted: 0, done: 0, leastBytes: 0 }
    const server = createServer((near) => {
      const far = connect({ host: '127.0.0.1', port: target })
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(one)
        one.on('error', () => undefined) // what one side does is passed on to the other
        one.once('close', () => {
          sockets.delete(one)
          other.destroy()
        })
      }
      near.on('data', (bytes) => far.write(bytes))
      far.on('data', (bytes) => near.write(damaged(bytes, damage)))
    })
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', () => {
        const address = server.address()
        const port = typeof address === 'object' && address !== null ? address.port : 0
        resolve(new BitFlipper(server, port, sockets, damage))
      })
    })
  }

  /** From now on: flips one bit in the middle of so many chunks of at least `leastBytes` that come from the target. */
  damage(chunks: number, leastBytes: number): void {
    this.#damage.wanted += chunks
    this.#damage.leastBytes = leastBytes
  }
  /** Chunks damaged so far. */
  get damaged(): number {
    return this.#damage.done
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}

function damaged(bytes: Buffer, damage: Damage): Buffer {
  if (damage.wanted <= damage.done || bytes.length < damage.leastBytes) return bytes
  damage.done += 1
  const at = Math.floor(bytes.length / 2)
  bytes[at] = (bytes[at] as number) ^ 0x10
  return bytes
}
