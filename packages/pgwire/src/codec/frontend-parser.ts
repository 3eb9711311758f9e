/**
 * Cuts what a client sends into messages. One parser a connection; pure: bytes in, messages out, no socket.
 *
 * Promises: whatever way the stream is split, the same messages come out; a bad length or type throws FATAL 08P01 as soon
 * as the header is there, before any of the body is waited for.
 */
import { protocolViolation } from '../errors.ts'
import { ByteQueue } from './byte-queue.ts'
import { Frontend } from './message-types.ts'

/** A message of a client. `bytes` is the whole of it (type byte, length, body), ready to be passed on as it is. */
export interface FrontendMessage {
  /** Type byte, one of `Frontend`. */
  readonly type: number
  /** The whole message; its body starts at index 5. A view that stays valid and must not be changed. */
  readonly bytes: Buffer
}

/** Where the body of a message starts: behind the type byte and the length. */
export const HEADER_BYTES = 5
/** A startup packet longer than this is refused (PostgreSQL's MAX_STARTUP_PACKET_LENGTH). */
export const MAX_STARTUP_BYTES = 10_000
/** Messages that have no reason to be long may have at most this many bytes. */
export const SMALL_MESSAGE_BYTES = 10_000
/** A message while the client is being authenticated may have at most this many bytes. */
export const MAX_AUTH_MESSAGE_BYTES = 65_535
/** Default limit of one message. */
export const DEFAULT_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
/** PostgreSQL's own limit, which a configured limit must not pass. */
export const HARD_MAX_MESSAGE_BYTES = 1024 * 1024 * 1024 - 1

const LARGE_TYPES: readonly number[] = [
  Frontend.query,
  Frontend.parse,
  Frontend.bind,
  Frontend.functionCall,
  Frontend.copyData,
]
const SMALL_TYPES: readonly number[] = [
  Frontend.close,
  Frontend.copyDone,
  Frontend.copyFail,
  Frontend.describe,
  Frontend.execute,
  Frontend.flush,
  Frontend.sync,
  Frontend.terminate,
]

/** What a client may send now: its startup packet, its password, or anything. */
export type ParserPhase = 'startup' | 'authentication' | 'running'

export class FrontendParser {
  readonly #queue = new ByteQueue()
  readonly #limits = new Float64Array(256)
  #phase: ParserPhase = 'startup'

  /** `maxMessageBytes` bounds the length field of a single message, from 10,000 to 1 GiB - 1. */
  constructor(maxMessageBytes: number = DEFAULT_MAX_MESSAGE_BYTES) {
    if (!(maxMessageBytes >= SMALL_MESSAGE_BYTES && maxMessageBytes <= HARD_MAX_MESSAGE_BYTES)) {
      throw new RangeError(
        `maxMessageBytes is ${maxMessageBytes}; choose ${SMALL_MESSAGE_BYTES} to ${HARD_MAX_MESSAGE_BYTES}`,
      )
    }
    for (const type of LARGE_TYPES) this.#limits[type] = maxMessageBytes
    for (const type of SMALL_TYPES) this.#limits[type] = SMALL_MESSAGE_BYTES
  }

  /** Bytes that have arrived and are not yet part of a message that was handed out. */
  get queuedBytes(): number {
    return this.#queue.length
  }

  get phase(): ParserPhase {
    return this.#phase
  }

  /** The connection has moved on: other messages are legal from here. */
  enter(phase: ParserPhase): void {
    this.#phase = phase
  }

  /** Takes over a chunk from the socket; its bytes must not change afterwards. */
  push(chunk: Buffer): void {
    this.#queue.push(chunk)
  }

  /** The next startup packet without its length field (code or version, then the rest), if all of it is there. */
  nextStartup(): Buffer | undefined {
    const queue = this.#queue
    if (queue.length < 4) return undefined
    const length = queue.int32At(0)
    if (length < 8 || length > MAX_STARTUP_BYTES) {
      throw protocolViolation(`invalid length of startup packet: ${length} bytes`, {
        hint: 'Is the client speaking the PostgreSQL protocol?',
      })
    }
    if (queue.length < length) return undefined
    return queue.take(length).subarray(4)
  }

  /** The next message, if all of it is there. */
  next(): FrontendMessage | undefined {
    const queue = this.#queue
    if (queue.length === 0) return undefined
    const type = queue.byteAt(0)
    const limit = this.#limitOf(type)
    if (queue.length < HEADER_BYTES) return undefined
    const length = queue.int32At(1)
    if (length < 4 || length > limit) {
      const shown = String.fromCharCode(type)
      throw protocolViolation(`invalid message length: message "${shown}" says ${length} bytes`, {
        detail: `A message of this type has 4 to ${limit} bytes.`,
      })
    }
    if (queue.length < length + 1) return undefined
    return { type, bytes: queue.take(length + 1) }
  }

  #limitOf(type: number): number {
    if (this.#phase === 'authentication') {
      if (type === Frontend.password || type === Frontend.terminate) return MAX_AUTH_MESSAGE_BYTES
      throw protocolViolation(`expected a password or SASL response, got message type ${type}`)
    }
    const limit = this.#limits[type]!
    if (limit === 0) throw protocolViolation(`invalid frontend message type ${type}`)
    return limit
  }
}
