/**
 * WAL as it streams by: the validator of a mirror, and the reader behind waldump. However it is cut the same comes out; every record that passes
 * has the CRC-32C that it says, computed here bit by bit; the end never lies beyond what was fed.
 */
import { isDeepStrictEqual } from 'node:util'
import {
  describeRecord,
  mainData,
  timelineSpans,
  WalValidator,
  type WalRecord,
  type WalValidatorOptions,
} from '@mirabelle/wal'
import type { SimRandom } from '../../sim/sim-random.ts'
import { bytes } from '../draw.ts'
import { promise, type FuzzInput, type FuzzTarget } from '../fuzz-target.ts'
import { chopped, damaged } from '../mutate.ts'
import { drawPosition, drawWal, recordOf, SEGMENT, SYSTEM } from './draw-wal.ts'

/** The first piece says where the rest begins and what is known of it: number of the segment, at a record or not, what is expected, timeline. */
const HEAD_BYTES = 7

export const wal: FuzzTarget = {
  name: 'wal',
  what: 'WAL pages and records: the validator of a mirror, the reader of waldump',
  draw(random) {
    const position = drawPosition(random)
    const { bytes: right } = drawWal(random, position)
    const stream = random.chance(0.75) ? damaged(random, right) : right
    const head = Buffer.alloc(HEAD_BYTES)
    head.writeUInt32BE(position.lsn / SEGMENT)
    head.set([random.below(2), random.below(4), position.timeline], 4)
    if (random.chance(0.1)) {
      // A good page header, then a record whose inside makes no sense.
      return [
        head,
        ...chopped(random, Buffer.concat([right.subarray(0, 40), strangeRecord(random), Buffer.alloc(8)])),
      ]
    }
    return [head, ...chopped(random, random.chance(0.1) ? bytes(random, random.below(9_000)) : stream)]
  },
  run([given = Buffer.alloc(0), ...chunks]) {
    const head = Buffer.alloc(HEAD_BYTES)
    head.set(given.subarray(0, HEAD_BYTES))
    const [atRecord, known, timeline = 1] = head.subarray(4)
    const start = head.readUInt32BE(0) * SEGMENT
    const options: WalValidatorOptions = {
      start,
      atRecord: atRecord === 1,
      segmentSize: SEGMENT,
      ...(known === 1 ? { systemIdentifier: SYSTEM } : {}),
      ...(known === 2 ? { spans: timelineSpans([{ timeline: 1, end: start + 9_000 }], 1 + timeline) } : {}),
    }
    const cut = outcomeOf(chunks, options)
    const whole = outcomeOf([Buffer.concat(chunks)], options)
    promise(
      isDeepStrictEqual(cut, whole),
      () =>
        `in ${chunks.length} chunks the WAL ends at ${cut.validEnd} (${cut.problem}), in one at ${whole.validEnd} (${whole.problem})`,
    )
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    // The padding behind the last record may be still to come.
    promise(
      whole.validEnd <= start + length + 8,
      () => `${length} bytes were fed and WAL ends ${whole.validEnd - start} behind the start`,
    )
    for (const record of whole.records) {
      describeRecord(record)
      mainData(record)
      promise(
        record.crcOk === (record.bytes !== undefined && crcOf(record.bytes) === crcIn(record.bytes)),
        () => `the record at ${record.lsn} is called ${record.crcOk ? 'good' : 'bad'} and is not`,
      )
    }
  },
}

interface Outcome {
  readonly records: readonly WalRecord[]
  readonly validEnd: number
  readonly safeEnd: number
  readonly problem: string | undefined
}

function outcomeOf(chunks: FuzzInput, options: WalValidatorOptions): Outcome {
  const records: WalRecord[] = []
  const validator = new WalValidator({
    ...options,
    collect: true,
    onRecord: (record) => records.push(record),
  })
  let last = validator.validEnd
  for (const chunk of chunks) {
    validator.push(chunk)
    promise(validator.validEnd >= last, () => `the end went back from ${last} to ${validator.validEnd}`)
    last = validator.validEnd
  }
  const { problem } = validator
  return {
    records,
    validEnd: validator.validEnd,
    safeEnd: validator.safeEnd,
    problem: problem === undefined ? undefined : `${problem.kind} ${problem.lsn} ${problem.detail}`,
  }
}

/** A page with one record whose headers are random, under a right CRC. */
function strangeRecord(random: SimRandom): Buffer {
  const record = recordOf(bytes(random, random.below(80)), {
    rmgr: random.pick([0, 10, 21, 128]),
    info: random.below(256),
  })
  return Buffer.from(record)
}

const crcIn = (record: Uint8Array): number => Buffer.from(record).readUInt32LE(20)

/** CRC-32C of a record as PostgreSQL computes it, one bit at a time. */
function crcOf(record: Uint8Array): number {
  let crc = 0xffffffff
  const feed = (from: number, to: number): void => {
    for (let at = from; at < to; at++) {
      crc ^= record[at] as number
      for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    }
  }
  feed(24, record.length)
  feed(0, 20)
  return ~crc >>> 0
}
