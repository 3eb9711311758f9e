/**
 * Hash of a value from its text representation, for the types that TypeScript can hash. Returns false when the text is not in the plain
 * form that PostgreSQL itself prints (or is invalid): then the engine computes the hash, or refuses the value.
 */
import { hashBytes, hashInt64, hashUint32, type Hash64 } from './bytes-hash.ts'
import type { HashType } from './hash-type.ts'
import { epochDays, timestampMicros } from './iso-time.ts'

let scratch = Buffer.allocUnsafe(4096)

export function hashText(text: string, type: HashType, out: Hash64): boolean {
  switch (type.family) {
    case 'int':
      return hashIntegerText(text, out)
    case 'text':
      hashString(type.modifier === undefined ? text : withoutExcessBlanks(text, Number(type.modifier)), out)
      return true
    case 'bpchar':
      hashString(withoutTrailingBlanks(text), out)
      return true
    case 'bool':
      return hashBooleanText(text, out)
    case 'uuid':
      return hashUuidText(text, out)
    case 'date': {
      const days = epochDays(text)
      if (days === undefined) return false
      hashUint32(days, out)
      return true
    }
    case 'timestamp':
    case 'timestamptz': {
      const micros = timestampMicros(text, type.family === 'timestamptz', type.modifier)
      if (micros === undefined) return false
      hashBigInt(micros, out)
      return true
    }
    case 'engine':
      return false
  }
}

/** Hash of a signed 64-bit integer. */
export function hashBigInt(value: bigint, out: Hash64): void {
  hashInt64(Number((value >> 32n) & 0xffffffffn), Number(value & 0xffffffffn), out)
}

function hashIntegerText(text: string, out: Hash64): boolean {
  const length = text.length
  let at = 0
  const negative = text.charCodeAt(0) === 45
  if (negative || text.charCodeAt(0) === 43) at = 1
  if (at === length || length > 20) return false
  let value = 0
  for (let i = at; i < length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return false
    value = value * 10 + digit
  }
  if (length - at <= 9) {
    hashUint32(negative ? -value : value, out)
    return true
  }
  const exact = BigInt(text)
  if (exact < -0x8000000000000000n || exact > 0x7fffffffffffffffn) return false
  hashBigInt(exact, out)
  return true
}

function hashString(text: string, out: Hash64): void {
  if (text.length * 3 > scratch.length) scratch = Buffer.allocUnsafe(text.length * 4)
  hashBytes(scratch, scratch.write(text, 'utf8'), out)
  if (scratch.length > 1 << 20) scratch = Buffer.allocUnsafe(4096)
}

function withoutTrailingBlanks(text: string): string {
  let end = text.length
  while (end > 0 && text.charCodeAt(end - 1) === 32) end--
  return end === text.length ? text : text.slice(0, end)
}

/** varchar(n): assignment drops blanks beyond n characters. Anything else beyond n is an error that the segment raises. */
function withoutExcessBlanks(text: string, limit: number): string {
  if (text.length <= limit) return text
  const characters = Array.from(text)
  if (characters.length <= limit) return text
  return characters.slice(limit).every((c) => c === ' ') ? characters.slice(0, limit).join('') : text
}

function hashBooleanText(text: string, out: Hash64): boolean {
  if (text === 't' || text === 'true' || text === '1') hashUint32(1, out)
  else if (text === 'f' || text === 'false' || text === '0') hashUint32(0, out)
  else return false
  return true
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

function hashUuidText(text: string, out: Hash64): boolean {
  if (!UUID.test(text)) return false
  scratch.write(text.replaceAll('-', ''), 'hex')
  hashBytes(scratch, 16, out)
  return true
}
