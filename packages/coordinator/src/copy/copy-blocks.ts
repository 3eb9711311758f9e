/**
 * Rows on their way into one content, put together as CopyData messages of some size: rows alternate between contents, and a message for each would cost more than
 * the row. Owned by the loader of a COPY. Pure.
 */

const BLOCK_BYTES = 128 * 1024
const HEAD_BYTES = 5
const COPY_DATA = 0x64

export class CopyBlocks {
  #full: Uint8Array[] = []
  #block = Buffer.allocUnsafe(BLOCK_BYTES)
  #end = HEAD_BYTES
  #bytes = 0

  /** Bytes of all messages. */
  get bytes(): number {
    return this.#bytes
  }

  /** Takes whole rows; they are copied. */
  add(rows: Uint8Array): void {
    if (this.#end + rows.length > this.#block.length) {
      this.#seal()
      if (rows.length + HEAD_BYTES > this.#block.length)
        this.#block = Buffer.allocUnsafe(rows.length + HEAD_BYTES)
    }
    this.#block.set(rows, this.#end)
    if (this.#end === HEAD_BYTES) this.#bytes += HEAD_BYTES
    this.#end += rows.length
    this.#bytes += rows.length
  }

  /** Hands out all messages, in order, and begins anew. */
  take(): Uint8Array[] {
    this.#seal()
    const messages = this.#full
    this.#full = []
    this.#bytes = 0
    return messages
  }

  #seal(): void {
    if (this.#end === HEAD_BYTES) return
    this.#block[0] = COPY_DATA
    this.#block.writeUInt32BE(this.#end - 1, 1)
    this.#full.push(this.#block.subarray(0, this.#end))
    this.#block = Buffer.allocUnsafe(BLOCK_BYTES)
    this.#end = HEAD_BYTES
  }
}
