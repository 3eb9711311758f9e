/**
 * CRC-32C, as frames and PostgreSQL's WAL records carry it. Long runs go to the native library; for a few dozen bytes the call costs more than
 * the work, so they are done here, four bytes a step.
 */
import { crc32c as native } from '@node-rs/crc32'

const POLYNOMIAL = 0x82f63b78
const tables = [0, 1, 2, 3].map(() => new Int32Array(256)) as [Int32Array, Int32Array, Int32Array, Int32Array]
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
  tables[0][byte] = crc
}
for (let byte = 0; byte < 256; byte++) {
  for (let step = 1; step < 4; step++) {
    const before = (tables[step - 1] as Int32Array)[byte] as number
    ;(tables[step] as Int32Array)[byte] = (before >>> 8) ^ (tables[0][before & 255] as number)
  }
}
const [T0, T1, T2, T3] = tables
const NATIVE_FROM = 96

/** CRC-32C of bytes[from, to), going on from `crc` (0 to begin). */
export function crc32c(bytes: Uint8Array, from: number, to: number, crc: number): number {
  if (to - from >= NATIVE_FROM) return native(bytes.subarray(from, to), crc)
  let state = ~crc
  let at = from
  for (; at + 4 <= to; at += 4) {
    state ^=
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)
    state =
      (T3[state & 255] as number) ^
      (T2[(state >>> 8) & 255] as number) ^
      (T1[(state >>> 16) & 255] as number) ^
      (T0[state >>> 24] as number)
  }
  for (; at < to; at++) state = (state >>> 8) ^ (T0[(state ^ (bytes[at] as number)) & 255] as number)
  return ~state >>> 0
}
