/**
 * The two kinds of frame. During the handshake: 4-byte big-endian length, body. On a proven connection: 4-byte length, which has a residue of itself in its upper five bits,
 * 4-byte big-endian CRC-32C of the body, body; the length counts both. On one machine nothing encrypts a connection, and what is damaged on the way (an answer that is kept for
 * a failover, say) may still be well-formed msgpack: the checksum finds it, and costs a few hundred nanoseconds.
 */
import { MirabelleError } from '@mirabelle/messages'
import { crc32c } from './crc32c.ts'
import { MAX_FRAME_BYTES, sealedLength } from './frame-decoder.ts'

const LENGTH_BYTES = 4
const CHECKSUM_BYTES = 4
/** Room in front of a body for length and checksum. */
export const HEAD_BYTES = LENGTH_BYTES + CHECKSUM_BYTES

/** The body of a heartbeat: nil. */
const HEARTBEAT_BODY = 0xc0
/** A whole heartbeat frame. */
export const HEARTBEAT_FRAME = sealedFrameOf(Uint8Array.of(HEARTBEAT_BODY))

/** True for the body of a heartbeat. */
export function isHeartbeat(body: Uint8Array): boolean {
  return body.length === 1 && body[0] === HEARTBEAT_BODY
}

/** A frame of the handshake: length and body. */
export function frameOf(body: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + body.length)
  frame.writeUInt32BE(body.length, 0)
  frame.set(body, LENGTH_BYTES)
  return frame
}

/** A frame of a proven connection, around a body that is packed already. */
export function sealedFrameOf(body: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + body.length)
  frame.set(body, HEAD_BYTES)
  seal([frame])
  return frame
}

/**
 * Fills in length and checksum of a frame in parts, whose first part begins with `HEAD_BYTES` of room. Throws `frame.bad` when the message is
 * over the limit of a frame.
 */
export function seal(parts: readonly [Buffer, ...Uint8Array[]]): void {
  const [head, ...rest] = parts
  let crc = crc32c(head, HEAD_BYTES, head.length, 0)
  let length = head.length - LENGTH_BYTES
  for (const part of rest) {
    crc = crc32c(part, 0, part.length, crc)
    length += part.length
  }
  if (length > MAX_FRAME_BYTES)
    throw new MirabelleError('frame.bad', `a message of ${length} bytes, the limit is ${MAX_FRAME_BYTES}`)
  head.writeUInt32BE(sealedLength(length), 0)
  head.writeUInt32BE(crc, LENGTH_BYTES)
}

/** The body in what the length of a frame counts. Throws `frame.bad` when it was damaged on the way. */
export function unsealed(content: Buffer): Buffer {
  if (content.length <= CHECKSUM_BYTES)
    throw new MirabelleError(
      'frame.bad',
      `a frame of ${content.length} bytes has no room for a checksum and a body`,
    )
  const told = content.readUInt32BE(0)
  const found = crc32c(content, CHECKSUM_BYTES, content.length, 0)
  if (told !== found)
    throw new MirabelleError(
      'frame.bad',
      `a frame of ${content.length} bytes was damaged on the way: its CRC-32C is ${hex(found)}, it says ${hex(told)}`,
    )
  return content.subarray(CHECKSUM_BYTES)
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, '0')
}
