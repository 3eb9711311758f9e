/** Messages as the other side gets them: deep copies, and how long they would be on the wire (about). */
import type { Message } from '@mirabelle/messages'

/** A copy that shares nothing with the original. What msgpack does not carry (undefined fields) is left out. */
export function copyMessage(message: Message): Message {
  return copy(message) as Message
}

function copy(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return Uint8Array.prototype.slice.call(value)
  if (Array.isArray(value)) return value.map(copy)
  const result: Record<string, unknown> = {}
  for (const key in value) {
    const field = (value as Record<string, unknown>)[key]
    if (field !== undefined) result[key] = copy(field)
  }
  return result
}

/** Bytes of the payloads in a message, and a little for the rest. */
export function sizeOfMessage(message: Message): number {
  return size(message)
}

function size(value: unknown): number {
  if (typeof value === 'string') return value.length + 2
  if (typeof value !== 'object' || value === null) return 4
  if (value instanceof Uint8Array) return value.length + 5
  let sum = 4
  if (Array.isArray(value)) for (const one of value) sum += size(one)
  else for (const key in value) sum += key.length + size((value as Record<string, unknown>)[key])
  return sum
}
