/** Messages as the other side gets them: deep copies, and how long they would be on the wire (about). */
import type { Message } from '@mirabelle/messages'

/** What msgpack says of a number, a flag or the beginning of a map, about. */
const SMALL = 4
/** Small pieces of bytes are copied into a common buffer: one of their own costs more than the copy. */
const SLAB_BYTES = 64 * 1024
const LARGEST_IN_SLAB = 8 * 1024

let slab = makeSlab()
let slabUsed = 0
/** Bytes of the message that is being copied. */
let size = 0

/** A copy that shares nothing with the original, and its size. What msgpack does not carry (undefined fields) is left out. */
export function copyMessage(message: Message): { readonly message: Message; readonly bytes: number } {
  size = 0
  return { message: copy(message) as Message, bytes: size }
}

function copy(value: unknown): unknown {
  if (typeof value === 'string') {
    size += value.length + 2
    return value
  }
  if (typeof value !== 'object' || value === null) {
    size += SMALL
    return value
  }
  if (value instanceof Uint8Array) {
    size += value.length + 5
    return copyBytes(value)
  }
  size += SMALL
  if (Array.isArray(value)) return value.map(copy)
  // As a whole first: a field at a time the engine would look for the shape of the copy at each.
  const result = { ...value } as Record<string, unknown>
  for (const key in result) {
    const field = result[key]
    size += key.length
    if (typeof field === 'string') size += field.length + 2
    else if (typeof field === 'object' && field !== null) result[key] = copy(field)
    else {
      size += SMALL
      if (field === undefined) Reflect.deleteProperty(result, key)
    }
  }
  return result
}

/** A copy of bytes, mostly within a buffer that holds other copies, too. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  const { length } = bytes
  if (length > LARGEST_IN_SLAB) return new Uint8Array(bytes)
  if (slabUsed + length > SLAB_BYTES) {
    slab = makeSlab()
    slabUsed = 0
  }
  const copied = slab.subarray(slabUsed, slabUsed + length)
  copied.set(bytes)
  slabUsed += length
  return copied
}

/** Not filled with zeros: each piece is written to before anybody sees it. */
function makeSlab(): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(SLAB_BYTES).buffer)
}
