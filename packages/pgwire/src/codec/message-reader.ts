/** Reads the fields of one message body in order. Every read is checked against the end of the message. */
import { isUtf8 } from 'node:buffer'
import { pgwireError, protocolViolation } from '../errors.ts'
import { int32, uint16 } from './for-each-message.ts'

export class MessageReader {
  readonly #bytes: Buffer
  readonly #end: number
  readonly #what: string
  #at: number

  /** Reads `bytes` from `start` to `end`; `what` names the message in errors. */
  constructor(bytes: Buffer, start: number, end: number, what: string) {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
    this.#what = what
  }

  get remaining(): number {
    return this.#end - this.#at
  }

  uint8(): number {
    return this.#bytes[this.#advance(1)]!
  }

  uint16(): number {
    return uint16(this.#bytes, this.#advance(2))
  }

  int16(): number {
    return (this.uint16() << 16) >> 16
  }

  int32(): number {
    return int32(this.#bytes, this.#advance(4))
  }

  uint32(): number {
    return this.int32() >>> 0
  }

  /** A NUL-terminated UTF-8 string. @throws 22021 if it is not UTF-8, 08P01 if it has no end. */
  cstring(): string {
    const start = this.#at
    const end = this.#bytes.indexOf(0, start)
    if (end === -1 || end >= this.#end)
      throw protocolViolation(`invalid string in ${this.#what} message: it has no end`)
    this.#at = end + 1
    return this.#utf8(start, end)
  }

  /** A 32-bit length and that many bytes, as a view; null for length -1. */
  lengthAndValue(): Buffer | null {
    const length = this.int32()
    if (length === -1) return null
    if (length < -1) throw protocolViolation(`a value in the ${this.#what} message has length ${length}`)
    return this.bytes(length)
  }

  /** That many bytes, as a view. */
  bytes(count: number): Buffer {
    const start = this.#advance(count)
    return this.#bytes.subarray(start, start + count)
  }

  /** All that is left, as UTF-8. */
  rest(): string {
    const start = this.#at
    this.#at = this.#end
    return this.#utf8(start, this.#end)
  }

  /** @throws 08P01 if something is left behind the last field. */
  finish(): void {
    if (this.#at !== this.#end) {
      throw protocolViolation(
        `invalid message format: ${this.remaining} bytes too many in the ${this.#what} message`,
      )
    }
  }

  #utf8(start: number, end: number): string {
    const view = this.#bytes.subarray(start, end)
    if (!isUtf8(view)) {
      throw pgwireError(
        'invalidText',
        `invalid byte sequence for encoding "UTF8" in a ${this.#what} message`,
        {
          hint: 'The only client encoding is UTF8.',
        },
      )
    }
    return view.toString('utf8')
  }

  #advance(count: number): number {
    const at = this.#at
    if (count > this.#end - at) {
      throw protocolViolation(
        `insufficient data left in ${this.#what} message: ${count} bytes wanted, ${this.#end - at} left`,
      )
    }
    this.#at = at + count
    return at
  }
}
