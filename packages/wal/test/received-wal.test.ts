// WAL of a stream on its way to disk: what does not follow, or belongs to another timeline, is refused; what is bad is neither written nor acknowledged.
import t, { type Test } from 'tap'
import type { MirabelleError } from '@mirabelle/messages'
import { realDisk, type Disk } from '@mirabelle/runtime'
import { encodeWalRecords } from '../src/index.ts'
import { ReceivedWal } from '../src/receiver/received-wal.ts'
import { payload, SEGMENT, tempDir, until, walIn } from './support/fixture.ts'

const START = SEGMENT
const wal = encodeWalRecords(
  { timeline: 1, lsn: START, prev: 0, segmentSize: SEGMENT, systemIdentifier: 77n },
  [300, 5_000, 12_000, 40].map((length, i) => ({ payload: payload(length, i), xid: i })),
)

function receiving(t: Test, disk: Disk = realDisk) {
  const dir = tempDir(t)
  const acknowledged: number[] = []
  const problems: { readonly code: string; readonly badLsn: number | undefined }[] = []
  const received = new ReceivedWal({
    disk,
    dir,
    segmentSize: SEGMENT,
    timeline: 1,
    history: [],
    start: START,
    lastRecord: undefined,
    receivedEnd: { end: START, lastRecord: undefined },
    receivedTimeline: 1,
    acknowledgedEnd: START,
    onAcknowledged: (lsn) => acknowledged.push(lsn),
    onProblem: ({ code }: MirabelleError, badLsn) => problems.push({ code, badLsn }),
  })
  t.teardown(() => received.close())
  return { dir, received, acknowledged, problems }
}

t.test('what does not follow is refused: a gap, and what has come already', async (t) => {
  for (const start of [START + 8, START - 8, START - SEGMENT]) {
    const { received, problems, acknowledged } = receiving(t)
    received.push(1, start, wal.bytes)
    await received.close()
    t.same(problems, [{ code: 'message.bad', badLsn: undefined }], String(start - START))
    t.same(acknowledged, [])
  }
})

t.test('WAL of another timeline is refused', async (t) => {
  const { received, problems, acknowledged } = receiving(t)
  received.push(2, START, wal.bytes)
  await received.close()
  t.same(problems, [{ code: 'message.bad', badLsn: undefined }])
  t.same(acknowledged, [])
})

t.test(
  'of a piece with a bad record what is before it is written and acknowledged, and nothing behind',
  async (t) => {
    const bad = wal.records[2]?.lsn ?? 0
    const bytes = Buffer.from(wal.bytes)
    const at = bad - START + 4_000
    bytes[at] = (bytes[at] as number) ^ 1
    const { dir, received, problems, acknowledged } = receiving(t)
    received.push(1, START, bytes)
    await until('the good part to be acknowledged', () => acknowledged.at(-1) === bad)
    await received.close()
    t.same(problems, [{ code: 'wal.corrupt', badLsn: bad }])
    t.same(walIn(dir, 1, START, bad), bytes.subarray(0, bad - START))
    t.ok(
      walIn(dir, 1, bad, bad + 2_000).every((byte) => byte === 0),
      'a bad record is not on disk',
    )
  },
)

t.test('of what comes while a flush is under way nothing is acknowledged before the next one', async (t) => {
  const flushes: (() => void)[] = []
  const disk: Disk = {
    ...realDisk,
    open: async (path, mode) => {
      const file = await realDisk.open(path, mode)
      const sync = async (): Promise<void> => {
        await new Promise<void>((resolve) => flushes.push(resolve))
        await file.sync()
      }
      return { ...file, sync }
    },
  }
  const { received, acknowledged, problems } = receiving(t, disk)
  const ends = [...wal.records.slice(1).map(({ lsn }) => lsn), START + wal.bytes.length]
  const [first, second, ...rest] = ends as [number, number, ...number[]]
  const push = (from: number, to: number): void =>
    received.push(1, from, wal.bytes.subarray(from - START, to - START))
  push(START, first)
  await until('a flush of the first record', () => flushes.length === 1)
  // Whole records and parts of one, in pieces that are smaller than a page.
  push(first, second)
  for (let at = second; at < START + wal.bytes.length; at += 1_000)
    push(at, Math.min(at + 1_000, START + wal.bytes.length))
  await until('all of it to be written', () => received.writtenEnd === START + wal.bytes.length)
  t.same(acknowledged, [], 'written is not durable')
  flushes.shift()?.()
  await until('the next flush', () => flushes.length === 1)
  t.same(acknowledged, [first], 'what the first flush covers, and not a byte more')
  t.equal(received.durable.end, first)
  flushes.shift()?.()
  await until('the end to be acknowledged', () => acknowledged.length === 2)
  t.same(acknowledged, [first, rest.at(-1)])
  t.equal(received.durable.end, rest.at(-1))
  t.same(problems, [])
})
