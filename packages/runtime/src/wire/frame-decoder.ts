/**
 * Cuts a byte stream into frames: 4-byte big-endian length, then so many bytes of body.
 *
 * One per connection; fed with whatever the socket delivers. A body that lies whole in a chunk is a view of it; any other is
 * gathered in one buffer that grows with the bytes that really came, so a large length alone holds no memory.
 */
import { MirabelleError } from '@mirabelle/messages'

/** Largest body of a frame, bytes. */
export const MAX_FRAME_BYTES = 64 * 1024 * 1024
/** The word in front of a sealed frame holds its length below this, and above it the length modulo `RESIDUES`, which no single bit that is turned leaves as it was. */
const LENGTHS = 2 ** 27
const RESIDUES = 31
/** Bodies up to this size get their whole buffer at once. */
const EAGER_BYTES = 2 * 1024 * 1024

/** The word in front of a sealed frame. */
export function sealedLength(length: number): number {
  return length + LENGTHS * (length % RESIDUES)
}

export class FrameDecoder {
  /** Largest body that is accepted now; raised after the handshake. */
  maxBytes: number
  /** Lengths are sealed: with one that was damaged on the way all that comes behind it would be taken for its body, in silence. Set after the handshake. */
  sealed = false
  /** Receives each body. May change `maxBytes`, replace itself, or call `stop()`. */
  onBody: (body: Buffer) => void
  #stopped = false
  #headerBytes = 0
  #header = 0
  /** Length of the body that is being gathered, 0 = none. */
  #need = 0
  #have = 0
  #gathered: Buffer | undefined

  constructor(maxBytes: number, onBody: (body: Buffer) => void) {
    this.maxBytes = maxBytes
    this.onBody = onBody
  }

  /** Takes the next bytes of the stream. Throws `frame.bad` for a length of zero or beyond the limit. */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && !this.#stopped) {
      if (this.#need === 0) {
        while (this.#headerBytes < 4 && at < chunk.length) {
          this.#header = this.#header * 256 + (chunk[at++] as number)
          this.#headerBytes++
        }
        if (this.#headerBytes < 4) return
        const length = this.sealed ? unsealedLength(this.#header) : this.#header
        this.#header = this.#headerBytes = 0
        this.#checkLength(length)
        if (chunk.length - at >= length) {
          at += length
          this.onBody(chunk.subarray(at - length, at))
          continue
        }
        this.#need = length
      }
      at += this.#gather(chunk, at)
    }
  }

  /** Bytes of an unfinished frame, header included: more than 0 when the stream ended in the middle of one. */
  get unfinishedBytes(): number {
    return this.#need === 0 ? this.#headerBytes : 4 + this.#have
  }

  /** Takes nothing more and lets go of what was gathered. */
  stop(): void {
    this.#stopped = true
    this.#gathered = undefined
    this.#need = this.#have = this.#headerBytes = this.#header = 0
  }

  #checkLength(length: number): void {
    if (length === 0) throw new MirabelleError('frame.bad', 'a frame of zero length')
    if (length > this.maxBytes)
      throw new MirabelleError('frame.bad', `a frame of ${length} bytes, the limit is ${this.maxBytes}`, {
        detail: { length, limit: this.maxBytes },
      })
  }

  #gather(chunk: Buffer, from: number): number {
    const take = Math.min(chunk.length - from, this.#need - this.#have)
    if (take === 0) return 0
    const room = this.#room(this.#have + take)
    chunk.copy(room, this.#have, from, from + take)
    this.#have += take
    if (this.#have === this.#need) {
      const body = room.length === this.#need ? room : room.subarray(0, this.#need)
      this.#gathered = undefined
      this.#need = this.#have = 0
      this.onBody(body)
    }
    return take
  }

  #room(bytes: number): Buffer {
    const old = this.#gathered
    if (old !== undefined && old.length >= bytes) return old
    const size = Math.min(this.#need, Math.max(EAGER_BYTES, 2 * bytes))
    const room = Buffer.allocUnsafeSlow(size)
    if (old !== undefined) old.copy(room, 0, 0, this.#have)
    this.#gathered = room
    return room
  }
}

function unsealedLength(word: number): number {
  const length = word % LENGTHS
  if (word === sealedLength(length)) return length
  throw new MirabelleError('frame.bad', `the length of a frame, ${length} bytes, was damaged on the way`)
}
