/**
 * From the hashes of the columns of a key to a content: `hash_combine64` of PostgreSQL's hash partitioning, then jump consistent hashing
 * (Lamping and Veach), so that going from n to n+1 contents moves 1/(n+1) of the rows and no others.
 */
import type { Hash64 } from './bytes-hash.ts'

/** into = hash_combine64(into, next). Start with 0; NULL columns are left out, as PostgreSQL does. */
export function combineHash(into: Hash64, next: Hash64): void {
  const { hi, lo } = into
  // next + 0x49a0f4dd15e5a8e3 + (into << 54) + (into >> 7), all modulo 2^64
  const shiftedHi = (lo << 22) >>> 0
  const downHi = hi >>> 7
  const downLo = ((hi << 25) | (lo >>> 7)) >>> 0
  const sumLo = next.lo + 0x15e5a8e3 + downLo
  const carry = Math.floor(sumLo / 0x100000000)
  const sumHi = next.hi + 0x49a0f4dd + shiftedHi + downHi + carry
  into.hi = (hi ^ (sumHi % 0x100000000)) >>> 0
  into.lo = (lo ^ (sumLo % 0x100000000)) >>> 0
}

/** The content, 0 … count-1, of a 64-bit hash. */
export function jumpHash(hash: Hash64, count: number): number {
  let hi = hash.hi
  let lo = hash.lo
  let found = 0
  let next = 0
  while (next < count) {
    found = next
    // key = key * 2862933555777941757 + 1, modulo 2^64; the factor is 0x27bb2ee687b0b0fd
    const product = Math.imul(hi, 0x87b0b0fd) + Math.imul(lo, 0x27bb2ee6) + multiplyHigh(lo, 0x87b0b0fd)
    const newLo = (Math.imul(lo, 0x87b0b0fd) >>> 0) + 1
    hi = (product + (newLo > 0xffffffff ? 1 : 0)) >>> 0
    lo = newLo >>> 0
    next = Math.floor((found + 1) * (0x80000000 / ((hi >>> 1) + 1)))
  }
  return found
}

/** High 32 bits of the product of two unsigned 32-bit numbers. */
function multiplyHigh(x: number, y: number): number {
  const x0 = x & 0xffff
  const x1 = x >>> 16
  const y0 = y & 0xffff
  const y1 = y >>> 16
  const middle = x1 * y0 + Math.floor((x0 * y0) / 0x10000)
  const low = (middle % 0x10000) + x0 * y1
  return x1 * y1 + Math.floor(middle / 0x10000) + Math.floor(low / 0x10000)
}
