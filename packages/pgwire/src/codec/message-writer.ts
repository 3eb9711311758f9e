/** Writes protocol messages one behind the other into one growing buffer. Shared by all encoders; knows no message. */

const MAX_MESSAGE_BYTES = 0x7fffffff

export class MessageWriter {
  #buffer: Buffer
  #length = 0
  #start = 0

  constructor(initialBytes = 256) {
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(initialBytes, 16))
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length
  }

  /** Opens a message; `end()` closes it and fills in its length. */
  begin(type: number): this {
    this.#reserve(5)
    this.#start = this.#length + 1
    this.#buffer[this.#length] = type
    this.#length += 5
    return this
  }

  /** Opens a packet without type byte, as a startup packet is. */
  beginUntyped(): this {
    this.#reserve(4)
    this.#start = this.#length
    this.#length += 4
    return this
  }

  end(): this {
    const length = this.#length - this.#start
    if (length > MAX_MESSAGE_BYTES)
      throw new RangeError(`a message of ${length} bytes is longer than the protocol allows`)
    this.#buffer.writeUInt32BE(length, this.#start)
    return this
  }

  int8(value: number): this {
    this.#reserve(1)
    this.#buffer[this.#length++] = value & 0xff
    return this
  }

  int16(value: number): this {
    this.#reserve(2)
    this.#buffer[this.#length++] = (value >>> 8) & 0xff
    this.#buffer[this.#length++] = value & 0xff
    return this
  }

  /** Signed or unsigned: the low 32 bits are written. */
  int32(value: number): this {
    this.#reserve(4)
    const buffer = this.#buffer
    let at = this.#length
    buffer[at++] = (value >>> 24) & 0xff
    buffer[at++] = (value >>> 16) & 0xff
    buffer[at++] = (value >>> 8) & 0xff
    buffer[at++] = value & 0xff
    this.#length = at
    return this
  }

  /** A NUL-terminated string. @throws TypeError if the string holds a NUL, which would shift all that follows. */
  cstring(value: string): this {
    if (value.includes('\0')) throw new TypeError('a protocol string cannot hold a NUL character')
    this.text(value)
    return this.int8(0)
  }

  /** UTF-8 without length or terminator. */
  text(value: string): this {
    this.#reserve(value.length < 1024 ? value.length * 3 : Buffer.byteLength(value))
    this.#length += this.#buffer.write(value, this.#length, 'utf8')
    return this
  }

  raw(value: Uint8Array): this {
    this.#reserve(value.length)
    this.#buffer.set(value, this.#length)
    this.#length += value.length
    return this
  }

  /** A 32-bit length and the bytes; null is length -1. Strings are written as UTF-8. */
  lengthAndValue(value: string | Uint8Array | null): this {
    if (value === null) return this.int32(-1)
    if (typeof value !== 'string') return this.int32(value.length).raw(value)
    const lengthAt = this.#length
    this.int32(0).text(value)
    this.#buffer.writeUInt32BE(this.#length - lengthAt - 4, lengthAt)
    return this
  }

  /** What was written, as a buffer of its own, and starts again empty. */
  take(): Buffer {
    const out = Buffer.from(this.#buffer.subarray(0, this.#length))
    this.#length = 0
    // A writer that once held something huge must not hold it for ever.
    if (this.#buffer.length > 1024 * 1024) this.#buffer = Buffer.allocUnsafeSlow(256)
    return out
  }

  /** Forgets what was written, after an encoder failed in the middle. */
  reset(): void {
    this.#length = 0
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#buffer.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}

const shared = new MessageWriter(4_096)

/** Runs an encoder on a shared writer and returns its bytes as a buffer of their own. */
export function encode(write: (writer: MessageWriter) => void): Buffer {
  shared.reset()
  write(shared)
  return shared.take()
}
