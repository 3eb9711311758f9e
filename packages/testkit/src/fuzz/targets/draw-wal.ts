/** Draws WAL: right in every bit, with records whose inside makes no sense although their CRC is right, or damaged. */
import { encodeRecord, encodeWalRecords, type WalPosition, type WalRecordInput } from '@mirabelle/wal'
import type { SimRandom } from '../../sim/sim-random.ts'
import { bytes } from '../draw.ts'

export const SYSTEM = 7_123_456_789n
export const SEGMENT = 16_384

/** Where a stretch of WAL begins. */
export function drawPosition(random: SimRandom): WalPosition {
  const segment = random.chance(0.5)
    ? 1 + random.below(5)
    : Math.floor((2 ** 32 * (1 + random.below(3))) / SEGMENT) - random.below(3)
  return {
    timeline: 1 + random.below(3),
    lsn: segment * SEGMENT,
    prev: 0,
    segmentSize: SEGMENT,
    systemIdentifier: SYSTEM,
  }
}

/** Records of every length and kind; small ones mostly. */
export function drawRecords(random: SimRandom): WalRecordInput[] {
  return Array.from({ length: 1 + random.below(12) }, () => {
    const length = random.chance(0.9) ? random.below(300) : random.below(20_000)
    const rmgr = random.pick([0, 1, 9, 10, 11, 21, 128, 255])
    return {
      payload:
        bytes(random, Math.min(length, 400)).length < length
          ? Buffer.alloc(length, random.below(256))
          : bytes(random, length),
      xid: random.below(1000),
      rmgr,
      info: rmgr === 0 && random.chance(0.1) ? 0x40 : random.below(16) * 16,
    }
  })
}

/** WAL from a position on; some records carry random bytes as their headers, under a right CRC. */
export function drawWal(random: SimRandom, position: WalPosition): { bytes: Buffer; next: WalPosition } {
  const encoded = encodeWalRecords(position, drawRecords(random))
  return { bytes: Buffer.from(encoded.bytes), next: encoded.next }
}

/** One record whose body is `body`, with a right CRC: what waldump takes apart. */
export function recordOf(body: Uint8Array, input: Omit<WalRecordInput, 'payload'>): Uint8Array {
  // A payload of the length of the body, less the header that says so; then the body is written over both.
  const header = body.length < 258 ? 2 : 5
  const record = encodeRecord({ ...input, payload: Buffer.alloc(Math.max(0, body.length - header)) }, 0)
  record.set(body.subarray(0, record.length - 24), 24)
  return record
}
