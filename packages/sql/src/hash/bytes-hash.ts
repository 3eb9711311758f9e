/**
 * PostgreSQL's `hash_bytes_extended` and `hash_bytes_uint32_extended` (Jenkins' lookup3, little-endian) with seed 0.
 * Checked against the real functions in `test/hash.test.ts`. A 64-bit hash travels as two unsigned halves, because
 * bigint arithmetic is too slow for the hot path.
 */

/** A 64-bit hash; both halves unsigned 32-bit. Also used as an out-parameter, so it can be written. */
export interface Hash64 {
  hi: number
  lo: number
}

const INITIAL = 0x9e3779b9 + 3923095

/** Hash of one 32-bit value. */
export function hashUint32(value: number, out: Hash64): void {
  const start = (INITIAL + 4) | 0
  finish((start + value) | 0, start, start, out)
}

/** Hash of a 64-bit integer as `hashint8extended`: equal to the hash of the same number as int4. Halves are signed or unsigned 32-bit. */
export function hashInt64(hi: number, lo: number, out: Hash64): void {
  hashUint32((lo ^ (hi >= 0 && hi < 0x80000000 ? hi : ~hi)) | 0, out)
}

/** Hash of the first `length` bytes. */
export function hashBytes(bytes: Uint8Array, length: number, out: Hash64): void {
  let a = (INITIAL + length) | 0
  let b = a
  let c = a
  let at = 0
  let left = length
  while (left >= 12) {
    a = (a + word(bytes, at, 4)) | 0
    b = (b + word(bytes, at + 4, 4)) | 0
    c = (c + word(bytes, at + 8, 4)) | 0
    a = (a - c) ^ rotate(c, 4)
    c = (c + b) | 0
    b = (b - a) ^ rotate(a, 6)
    a = (a + c) | 0
    c = (c - b) ^ rotate(b, 8)
    b = (b + a) | 0
    a = (a - c) ^ rotate(c, 16)
    c = (c + b) | 0
    b = (b - a) ^ rotate(a, 19)
    a = (a + c) | 0
    c = (c - b) ^ rotate(b, 4)
    b = (b + a) | 0
    at += 12
    left -= 12
  }
  a = (a + word(bytes, at, Math.min(left, 4))) | 0
  if (left > 4) b = (b + word(bytes, at + 4, Math.min(left - 4, 4))) | 0
  // The lowest byte of c is reserved for the length.
  if (left > 8) c = (c + (word(bytes, at + 8, left - 8) << 8)) | 0
  finish(a, b, c, out)
}

function word(bytes: Uint8Array, at: number, count: number): number {
  let value = 0
  for (let i = 0; i < count; i++) value |= (bytes[at + i] as number) << (8 * i)
  return value
}

function rotate(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k))
}

function finish(a: number, b: number, c: number, out: Hash64): void {
  c = ((c ^ b) - rotate(b, 14)) | 0
  a = ((a ^ c) - rotate(c, 11)) | 0
  b = ((b ^ a) - rotate(a, 25)) | 0
  c = ((c ^ b) - rotate(b, 16)) | 0
  a = ((a ^ c) - rotate(c, 4)) | 0
  b = ((b ^ a) - rotate(a, 14)) | 0
  c = ((c ^ b) - rotate(b, 24)) | 0
  out.hi = b >>> 0
  out.lo = c >>> 0
}
