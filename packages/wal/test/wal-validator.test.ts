import t from 'tap'
import {
  encodeWalRecords,
  mainData,
  PAGE_SIZE,
  readWalRecords,
  timelineSpans,
  WalValidator,
} from '../src/index.ts'
import type { WalPosition, WalRecordInput } from '../src/index.ts'
import { encodeRecord } from '../src/format/wal-encoder.ts'
import { writePageHeader } from '../src/format/page-header.ts'

const MB = 1024 * 1024
const START: WalPosition = { timeline: 1, lsn: MB, prev: 0, segmentSize: MB, systemIdentifier: 77n }
const bytesOf = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 255)
const encode = (lengths: readonly number[], from = START): ReturnType<typeof encodeWalRecords> =>
  encodeWalRecords(
    from,
    lengths.map((length, i): WalRecordInput => ({ payload: bytesOf(length, i), xid: i })),
  )
const check = (bytes: Uint8Array, options = {}): WalValidator => {
  const validator = new WalValidator({ start: MB, atRecord: false, ...options })
  validator.push(bytes)
  return validator
}

t.test('records of every length come back with their content, across pages and segments', (t) => {
  const lengths = [0, 1, 7, 8, 200, 255, 256, 8100, 8192, 30_000, 2_200_000, 5, 16, 900]
  const wal = encode(lengths)
  const { records, validEnd, problem } = readWalRecords(wal.bytes, { start: MB, atRecord: false })
  t.equal(problem, undefined)
  t.equal(validEnd, wal.next.lsn)
  t.same(
    records.map((one) => [one.lsn, one.endLsn]),
    wal.records.map((one) => [one.lsn, one.endLsn]),
  )
  t.same(
    records.map((one) => one.xid),
    lengths.map((_, i) => i),
  )
  records.forEach((record, i) =>
    t.same(Buffer.from(mainData(record) as Uint8Array), Buffer.from(bytesOf(lengths[i] as number, i))),
  )
  t.end()
})

t.test('collected records are copies: a buffer that is used again does not change them', (t) => {
  const wal = encode([100, 200])
  for (const size of [wal.bytes.length, 50]) {
    const records: Uint8Array[] = []
    const validator = new WalValidator({
      start: MB,
      atRecord: false,
      collect: true,
      onRecord: (record) => void records.push(record.bytes as Uint8Array),
    })
    const chunk = Buffer.alloc(size)
    for (let at = 0; at < wal.bytes.length; at += size) {
      const part = wal.bytes.subarray(at, at + size)
      chunk.set(part)
      validator.push(chunk.subarray(0, part.length))
    }
    chunk.fill(0)
    t.same(
      records.map((one) => Buffer.from(one.subarray(26)).toString('hex')),
      [100, 200].map((length, i) => Buffer.from(bytesOf(length, i)).toString('hex')),
    )
  }
  t.end()
})

t.test('a record that fills its page to the last byte ends at the page boundary', (t) => {
  const room = PAGE_SIZE - 40
  const wal = encode([room - 24 - 5, 10])
  t.equal(wal.records[0]?.endLsn, MB + PAGE_SIZE)
  t.equal(wal.records[1]?.lsn, MB + PAGE_SIZE + 24)
  const validator = check(wal.bytes.subarray(0, PAGE_SIZE))
  t.equal(validator.validEnd, MB + PAGE_SIZE)
  t.equal(validator.safeEnd, MB + PAGE_SIZE)
  t.equal(check(wal.bytes).validEnd, wal.next.lsn)
  t.end()
})

t.test('split at every byte the outcome is the same', (t) => {
  const wal = encode([10, 8300, 0, 8100, 33])
  for (let cut = 0; cut <= wal.bytes.length; cut++) {
    const validator = check(wal.bytes.subarray(0, cut))
    if (validator.problem !== undefined) t.fail(`cut at ${cut}: ${validator.problem.detail}`)
    const whole =
      wal.records.filter((one) => one.endLsn - 7 <= MB + cut && one.endLsn <= MB + cut).at(-1)?.endLsn ?? MB
    if (Math.min(validator.validEnd, MB + cut) < whole)
      t.fail(`cut at ${cut}: ${validator.validEnd} < ${whole}`)
    validator.push(wal.bytes.subarray(cut))
    if (validator.validEnd !== wal.next.lsn || validator.problem !== undefined)
      t.fail(`cut at ${cut}: ${validator.validEnd}`)
  }
  const bytewise = new WalValidator({ start: MB, atRecord: false })
  for (let at = 0; at < wal.bytes.length; at++) bytewise.push(wal.bytes.subarray(at, at + 1))
  t.equal(bytewise.validEnd, wal.next.lsn)
  t.end()
})

t.test('no single flipped bit of a record or of what a page header says passes', (t) => {
  const wal = encode([60, 8150, 90])
  const inRecord = (offset: number): boolean => {
    const lsn = MB + offset
    const record = wal.records.findLast((one) => one.lsn <= lsn)
    return record !== undefined && lsn < record.endLsn
  }
  let checked = 0
  for (let offset = 0; offset < wal.bytes.length; offset++) {
    const inPage = offset % PAGE_SIZE
    const header = offset < PAGE_SIZE ? 40 : 24
    // Not read by anyone: padding after a record, padding in the page header, its flags that say nothing here.
    const record = wal.records.findLast((one) => one.lsn <= MB + offset)
    const padding = record !== undefined && inPage >= header && paddingOf(wal.bytes, record, offset)
    if (padding || (inPage >= 20 && inPage < 24) || inPage === 2) continue
    if (!inRecord(offset) && inPage >= header) continue
    const first = wal.records.find((one) => one.endLsn > MB + offset) as { lsn: number; endLsn: number }
    for (let bit = 0; bit < 8; bit++) {
      const bytes = Uint8Array.from(wal.bytes)
      bytes[offset] = (bytes[offset] as number) ^ (1 << bit)
      const validator = check(bytes, { spans: timelineSpans([], 1), systemIdentifier: 77n })
      checked++
      if (validator.validEnd >= first.endLsn)
        t.fail(`bit ${bit} of byte ${offset} passed: ${validator.validEnd}`)
      if (validator.safeEnd >= first.endLsn) t.fail(`bit ${bit} of byte ${offset} counts as safe`)
    }
  }
  t.ok(checked > 60_000, `${checked} flips`)
  t.end()
})

function paddingOf(bytes: Uint8Array, record: { lsn: number; endLsn: number }, offset: number): boolean {
  const at = record.lsn - MB
  const length = (bytes[at] as number) | ((bytes[at + 1] as number) << 8)
  const pages = Math.floor((record.endLsn - 1) / PAGE_SIZE) - Math.floor(record.lsn / PAGE_SIZE)
  return offset >= at + length + pages * 24
}

t.test('what is wrong is said precisely', (t) => {
  const wal = encode([100, 100, 9000, 100])
  const [, second, third, fourth] = wal.records.map((one) => one.lsn - MB) as [number, number, number, number]
  const cases: [string, (bytes: Uint8Array) => void, string, number][] = [
    ['payload', (b) => (b[second + 50] = 99), 'bad crc', second],
    ['length below the header', (b) => (b[second] = 8), 'bad length', second],
    ['length far too long', (b) => (b[second + 3] = 0x7f), 'bad length', second],
    ['length zero', (b) => b.fill(0, second, second + 4), 'end', second],
    ['previous record', (b) => (b[third + 8] = 1), 'bad prev', third],
    ['resource manager', (b) => (b[second + 17] = 77), 'bad record', second],
    ['magic', (b) => (b[PAGE_SIZE] = 0x17), 'page header', PAGE_SIZE],
    ['flags', (b) => (b[PAGE_SIZE + 3] = 1), 'page header', PAGE_SIZE],
    ['address', (b) => (b[PAGE_SIZE + 9] = 1), 'page address', PAGE_SIZE],
    ['timeline', (b) => (b[PAGE_SIZE + 4] = 2), 'timeline', PAGE_SIZE],
    ['continuation', (b) => (b[PAGE_SIZE + 16] = 1), 'page header', PAGE_SIZE],
    ['segment size', (b) => (b[34] = 1), 'page header', 0],
    ['a page of zeros', (b) => b.fill(0, 0, 40), 'end', 0],
    ['zeros from here', (b) => b.fill(0, fourth), 'end', fourth],
  ]
  for (const [name, damage, kind, offset] of cases) {
    const bytes = Uint8Array.from(wal.bytes)
    damage(bytes)
    const { problem, validEnd } = check(bytes, { spans: timelineSpans([], 1) })
    t.match(problem, { kind, lsn: MB + offset }, name)
    t.ok(validEnd <= MB + offset)
  }
  t.match(check(wal.bytes, { systemIdentifier: 78n }).problem, { kind: 'page header' })
  t.end()
})

t.test('a stream that starts in the middle of a record accepts its rest unverified and says so', (t) => {
  const wal = encode([1_500_000, 100, 100])
  const validator = new WalValidator({ start: 2 * MB, atRecord: false })
  validator.push(wal.bytes.subarray(MB))
  t.equal(validator.problem, undefined)
  t.equal(validator.validEnd, wal.next.lsn)
  t.same(validator.unverifiedTail, { from: 2 * MB, to: wal.records[0]?.endLsn })
  const short = new WalValidator({ start: 2 * MB, atRecord: false })
  short.push(wal.bytes.subarray(MB, MB + 100_000))
  t.equal(short.safeEnd, 2 * MB)
  t.end()
})

t.test('a stream goes on at a record boundary with the record before it known', (t) => {
  const wal = encode([100, 100, 100])
  const { endLsn, lsn } = wal.records[0] as { lsn: number; endLsn: number }
  const at = endLsn - MB
  const good = new WalValidator({ start: endLsn, atRecord: true, prev: lsn })
  good.push(wal.bytes.subarray(at))
  t.equal(good.validEnd, wal.next.lsn)
  const bad = new WalValidator({ start: endLsn, atRecord: true, prev: lsn + 8 })
  bad.push(wal.bytes.subarray(at))
  t.equal(bad.problem?.kind, 'bad prev')
  t.throws(() => new WalValidator({ start: endLsn, atRecord: false }), RangeError)
  t.end()
})

t.test('XLOG_SWITCH ends its segment; the zeros after it belong to it', (t) => {
  const wal = encodeWalRecords(START, [
    { payload: bytesOf(50) },
    { payload: bytesOf(0), rmgr: 0, info: 0x40 },
    { payload: bytesOf(20) },
  ])
  t.equal(wal.records[1]?.endLsn, 2 * MB)
  const validator = check(wal.bytes)
  t.equal(validator.problem, undefined)
  t.equal(validator.validEnd, wal.next.lsn)
  t.ok(wal.next.lsn > 2 * MB)
  const half = check(wal.bytes.subarray(0, 500_000))
  t.ok(half.validEnd < MB + 1000, 'the padding has to be there before the next segment counts')
  t.end()
})

t.test('a record that was given up after a crash is passed over (overwritten contrecord)', (t) => {
  const wal = encode([100, 20_000])
  const [first, second] = wal.records as [{ lsn: number; endLsn: number }, { lsn: number; endLsn: number }]
  const bytes = new Uint8Array(3 * PAGE_SIZE)
  bytes.set(wal.bytes.subarray(0, PAGE_SIZE))
  const header = new Uint8Array(24)
  writePageHeader(
    header,
    { info: 8, timeline: 1, address: MB + PAGE_SIZE, remaining: 0 },
    { size: MB, systemIdentifier: 77n },
  )
  bytes.set(header, PAGE_SIZE)
  const record = encodeRecord({ payload: bytesOf(16), rmgr: 0, info: 0xd0 }, first.lsn)
  bytes.set(record, PAGE_SIZE + 24)
  const validator = check(bytes.subarray(0, PAGE_SIZE + 24 + record.length))
  t.equal(validator.problem, undefined)
  t.equal(validator.validEnd, MB + PAGE_SIZE + 24 + Math.ceil(record.length / 8) * 8)
  t.ok(second.lsn < MB + PAGE_SIZE)
  t.equal(check(bytes).problem?.kind, 'end')
  t.end()
})

t.test(
  'a record across a segment boundary lets the boundary count as safe, one on the page does not',
  (t) => {
    const wal = encode([100, 1_500_000])
    const first = wal.records[0]?.endLsn as number
    t.equal(check(wal.bytes.subarray(0, MB - 8)).safeEnd, first)
    t.equal(check(wal.bytes.subarray(0, MB + 5000)).safeEnd, 2 * MB)
    t.equal(check(wal.bytes.subarray(0, MB + 5000)).validEnd, first)
    t.end()
  },
)

t.test('pages of a timeline count only where the timeline has WAL', (t) => {
  const one = encode([100, 9000])
  const two = encodeWalRecords({ ...one.next, timeline: 2 }, [
    { payload: bytesOf(9000) },
    { payload: bytesOf(9000) },
  ])
  const bytes = new Uint8Array(one.bytes.length + two.bytes.length)
  bytes.set(one.bytes)
  bytes.set(two.bytes, one.bytes.length)
  const fork = one.next.lsn
  t.equal(check(bytes, { spans: timelineSpans([{ timeline: 1, end: fork }], 2) }).validEnd, two.next.lsn)
  t.equal(check(bytes, { spans: timelineSpans([], 1) }).problem?.kind, 'timeline')
  t.equal(
    check(bytes, { spans: timelineSpans([{ timeline: 1, end: MB + 100 }], 2) }).problem?.kind,
    'timeline',
  )
  t.equal(check(bytes, { spans: timelineSpans([{ timeline: 1, end: MB * 2 }], 2) }).problem?.kind, 'timeline')
  t.end()
})

t.test('checking is faster than any disk here', (t) => {
  const wal = encode(Array.from({ length: 20_000 }, (_, i) => 40 + (i % 200)))
  const run = (): number => {
    const start = performance.now()
    for (let round = 0; round < 10; round++) check(wal.bytes)
    return (10 * wal.bytes.length) / 1e3 / (performance.now() - start)
  }
  const best = Math.max(run(), run(), run())
  t.ok(best > 50, `${Math.round(best)} MB/s`)
  t.end()
})
