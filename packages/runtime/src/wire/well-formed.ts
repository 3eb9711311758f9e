/**
 * Looks over a msgpack body before it is decoded, so that decoding costs no more memory than the body is worth: a lying
 * length, an extension type, deep nesting and trailing bytes are refused. Reads headers only, never copies.
 */

/** Containers nest no deeper than this. */
export const MAX_DEPTH = 32
/** A map has no more entries than this, a list no more than twice as many. */
export const MAX_ENTRIES = 1_000_000
/** Values in one body, all containers together. */
export const MAX_VALUES = 4_000_000

class Malformed extends Error {}

let budget = 0

/** Returns undefined when the body is one whole msgpack value of plain types, else a sentence that says what is wrong. */
export function malformation(body: Uint8Array): string | undefined {
  budget = MAX_VALUES
  try {
    const end = skip(body, 0, 0)
    return end === body.length ? undefined : `${body.length - end} bytes follow the message`
  } catch (error) {
    if (error instanceof Malformed) return error.message
    throw error
  }
}

/** Returns the position behind the value at `at`. */
function skip(body: Uint8Array, at: number, depth: number): number {
  const token = body[at]
  if (token === undefined) throw new Malformed('the body ends in the middle of a value')
  if (--budget < 0) throw new Malformed(`more than ${MAX_VALUES} values`)
  if (token <= 0x7f || token >= 0xe0) return at + 1
  if (token <= 0x8f) return skipMap(body, at + 1, token & 0x0f, depth)
  if (token <= 0x9f) return skipList(body, at + 1, token & 0x0f, depth)
  if (token <= 0xbf) return within(body, at + 1 + (token & 0x1f))
  switch (token) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return at + 1
    case 0xc4: // bin8
    case 0xd9: // str8
      return within(body, at + 2 + uint(body, at + 1, 1))
    case 0xc5: // bin16
    case 0xda: // str16
      return within(body, at + 3 + uint(body, at + 1, 2))
    case 0xc6: // bin32
    case 0xdb: // str32
      return within(body, at + 5 + uint(body, at + 1, 4))
    case 0xcc: // uint8
    case 0xd0: // int8
      return within(body, at + 2)
    case 0xcd: // uint16
    case 0xd1: // int16
      return within(body, at + 3)
    case 0xca: // float32
    case 0xce: // uint32
    case 0xd2: // int32
      return within(body, at + 5)
    case 0xcb: // float64
    case 0xcf: // uint64
    case 0xd3: // int64
      return within(body, at + 9)
    case 0xdc: // list16
      return skipList(body, at + 3, uint(body, at + 1, 2), depth)
    case 0xdd: // list32
      return skipList(body, at + 5, uint(body, at + 1, 4), depth)
    case 0xde: // map16
      return skipMap(body, at + 3, uint(body, at + 1, 2), depth)
    case 0xdf: // map32
      return skipMap(body, at + 5, uint(body, at + 1, 4), depth)
    default:
      throw new Malformed(`type byte 0x${token.toString(16)} is not allowed`)
  }
}

function skipList(body: Uint8Array, start: number, entries: number, depth: number): number {
  checkContainer(body, start, entries, depth)
  let at = start
  for (let i = 0; i < entries; i++) at = skip(body, at, depth + 1)
  return at
}

function skipMap(body: Uint8Array, start: number, entries: number, depth: number): number {
  checkContainer(body, start, entries * 2, depth)
  let at = start
  for (let i = 0; i < entries; i++) {
    const key = body[at] ?? 0
    if (!(key >= 0xa0 && key <= 0xbf) && !(key >= 0xd9 && key <= 0xdb))
      throw new Malformed('a map key is not text')
    at = skip(body, skip(body, at, depth + 1), depth + 1)
  }
  return at
}

/** A container that claims more entries than bytes are left is refused before anyone makes room for them. */
function checkContainer(body: Uint8Array, start: number, values: number, depth: number): void {
  if (depth >= MAX_DEPTH) throw new Malformed(`nested deeper than ${MAX_DEPTH}`)
  if (values > body.length - start)
    throw new Malformed(`a container of ${values} values in ${body.length} bytes`)
  if (values > 2 * MAX_ENTRIES) throw new Malformed(`a container of ${values} values`)
}

function within(body: Uint8Array, end: number): number {
  if (end > body.length) throw new Malformed('the body ends in the middle of a value')
  return end
}

function uint(body: Uint8Array, at: number, bytes: number): number {
  within(body, at + bytes)
  let value = 0
  for (let i = 0; i < bytes; i++) value = value * 256 + (body[at + i] as number)
  return value
}
