/**
 * Bytes that have arrived and were not yet consumed. Whoever reads a stream pushes chunks and takes messages out.
 *
 * A message that lies within one chunk is handed out as a view, without a copy; one that spans chunks is gathered once,
 * when all of it is there, so the cost is linear however the stream is split. Memory follows what has arrived, never what
 * a length field promises. Small chunks are packed together, so that a peer that sends byte by byte costs no more.
 */

const SLAB_BYTES = 16_384
const SMALL_CHUNK_BYTES = 2_048

export class ByteQueue {
  #chunks: Buffer[] = []
  /** Consumed bytes of the first chunk. */
  #offset = 0
  #length = 0
  /** The last chunk, if it is a slab of our own with room behind what is used. */
  #slab: Buffer | undefined
  #slabUsed = 0

  /** Bytes that wait. */
  get length(): number {
    return this.#length
  }

  /** Takes over a chunk; its bytes must not change afterwards. */
  push(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#length += chunk.length
    if (this.#chunks.length === 0 || chunk.length > SMALL_CHUNK_BYTES) {
      this.#chunks.push(chunk)
      this.#slab = undefined
      return
    }
    if (this.#slab !== undefined && this.#slabUsed + chunk.length <= SLAB_BYTES) {
      chunk.copy(this.#slab, this.#slabUsed)
      const last = this.#chunks.length - 1
      const start = this.#chunks[last]!.byteOffset - this.#slab.byteOffset
      this.#slabUsed += chunk.length
      this.#chunks[last] = this.#slab.subarray(start, this.#slabUsed)
      return
    }
    this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
    chunk.copy(this.#slab, 0)
    this.#slabUsed = chunk.length
    this.#chunks.push(this.#slab.subarray(0, chunk.length))
  }

  /** The byte at `index` from the front; the caller checks the length. */
  byteAt(index: number): number {
    let at = this.#offset + index
    for (const chunk of this.#chunks) {
      if (at < chunk.length) return chunk[at]!
      at -= chunk.length
    }
    throw new RangeError(`byte ${index} asked of a queue of ${this.#length} bytes`)
  }

  /** The big-endian signed 32-bit number at `index` from the front; the caller checks the length. */
  int32At(index: number): number {
    const first = this.#chunks[0]
    const at = this.#offset + index
    if (first !== undefined && at + 4 <= first.length) return first.readInt32BE(at)
    return (
      (this.byteAt(index) << 24) |
      (this.byteAt(index + 1) << 16) |
      (this.byteAt(index + 2) << 8) |
      this.byteAt(index + 3)
    )
  }

  /** Consumes `count` bytes, which must be there: a view if they lie in one chunk, else a copy. */
  take(count: number): Buffer {
    if (count > this.#length) throw new RangeError(`${count} bytes asked of a queue of ${this.#length} bytes`)
    const first = this.#chunks[0]
    if (first === undefined) return Buffer.alloc(0)
    const end = this.#offset + count
    this.#length -= count
    if (end < first.length) {
      const view = first.subarray(this.#offset, end)
      this.#offset = end
      return view
    }
    if (end === first.length) {
      const view = first.subarray(this.#offset, end)
      this.#drop(1)
      return view
    }
    return this.#gather(count)
  }

  #gather(count: number): Buffer {
    const out = Buffer.allocUnsafeSlow(count)
    let filled = 0
    let whole = 0
    let offset = this.#offset
    for (const chunk of this.#chunks) {
      const part = Math.min(count - filled, chunk.length - offset)
      chunk.copy(out, filled, offset, offset + part)
      filled += part
      offset += part
      if (offset === chunk.length) {
        whole += 1
        offset = 0
      }
      if (filled === count) break
    }
    this.#drop(whole)
    this.#offset = offset
    return out
  }

  #drop(chunks: number): void {
    if (chunks === this.#chunks.length) {
      this.#chunks = []
      this.#slab = undefined
    } else {
      this.#chunks.splice(0, chunks)
    }
    this.#offset = 0
  }
}
