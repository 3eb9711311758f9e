/** Walks over concatenated protocol messages without allocating: the hot path of everything that looks into answers. */
import { protocolViolation } from '../errors.ts'

/**
 * Calls `visit(type, start, end)` for each complete message of `bytes`; the body lies from `start + 5` to `end`.
 * A visitor that returns `false` stops the walk behind its message.
 *
 * @returns the index of the first byte that was not visited: `bytes.length`, or the start of an incomplete message.
 * @throws FATAL 08P01 if a length field is below 4.
 */
export function forEachMessage(
  bytes: Uint8Array,
  visit: (type: number, start: number, end: number) => boolean | void,
  from = 0,
): number {
  const total = bytes.length
  let start = from
  while (start + 5 <= total) {
    const end = start + 1 + int32(bytes, start + 1)
    if (end < start + 5) {
      throw protocolViolation(
        `message at byte ${start} says it has ${end - start - 1} bytes, at least 4 are needed`,
      )
    }
    if (end > total) return start
    const proceed = visit(bytes[start]!, start, end)
    start = end
    if (proceed === false) return start
  }
  return start
}

/** Like `forEachMessage`, for bytes that must be whole: throws FATAL 08P01 if the last message is cut off. */
export function forEachWholeMessage(
  bytes: Uint8Array,
  visit: (type: number, start: number, end: number) => boolean | void,
): void {
  let stopped = false
  const end = forEachMessage(bytes, (type, start, stop) => {
    stopped = visit(type, start, stop) === false
    return !stopped
  })
  if (!stopped && end !== bytes.length) {
    throw protocolViolation(`the last message is cut off: ${bytes.length - end} bytes of it are there`)
  }
}

/** A big-endian signed 32-bit number. */
export function int32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}

/** A big-endian unsigned 16-bit number. */
export function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}
