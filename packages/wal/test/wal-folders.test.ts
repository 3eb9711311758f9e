import t from 'tap'
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { realDisk } from '@mirabelle/runtime'
import { createWalFiles, encodeWalRecords, findWalEnd, formatHistory, walFileName } from '../src/index.ts'
import type { EncodedWal, WalPosition } from '../src/index.ts'
import { payload, SEGMENT, tempDir, writeSegments } from './support/fixture.ts'

const START: WalPosition = { timeline: 1, lsn: SEGMENT, prev: 0, segmentSize: SEGMENT, systemIdentifier: 77n }
const records = (from: WalPosition, count: number, length = 1000): EncodedWal =>
  encodeWalRecords(
    from,
    Array.from({ length: count }, (_, i) => ({ payload: payload(length, i) })),
  )

function filled(t: Parameters<typeof tempDir>[0], count = 3000): { dir: string; wal: EncodedWal } {
  const dir = tempDir(t)
  const wal = records(START, count)
  writeSegments(dir, 1, wal.start, wal.bytes)
  return { dir, wal }
}

t.test('the end of WAL is the end of its last whole record', async (t) => {
  const { dir, wal } = filled(t)
  t.match(await findWalEnd(realDisk, dir), {
    timeline: 1,
    startLsn: SEGMENT,
    endLsn: wal.next.lsn,
    lastRecord: wal.next.prev,
    segmentSize: SEGMENT,
    problem: undefined,
    segmentsBeyond: 0,
  })
  t.match(await findWalEnd(realDisk, dir, { from: 2 * SEGMENT + 5 }), {
    startLsn: 2 * SEGMENT,
    endLsn: wal.next.lsn,
  })
  t.equal(await findWalEnd(realDisk, join(dir, 'nothing')), undefined)
  t.equal(await findWalEnd(realDisk, tempDir(t)), undefined)
})

t.test('recycled segments, partial files and strange files do not count', async (t) => {
  const { dir, wal } = filled(t)
  const next = wal.next.lsn - (wal.next.lsn % SEGMENT) + SEGMENT
  copyFileSync(join(dir, walFileName(1, SEGMENT, SEGMENT)), join(dir, walFileName(1, next, SEGMENT)))
  writeFileSync(join(dir, walFileName(1, next + SEGMENT, SEGMENT)), new Uint8Array(SEGMENT))
  writeFileSync(join(dir, '000000010000000000000009.partial'), 'x')
  writeFileSync(join(dir, walFileName(1, next + 2 * SEGMENT, SEGMENT)), 'short')
  mkdirSync(join(dir, 'archive_status'))
  t.match(await findWalEnd(realDisk, dir), { endLsn: wal.next.lsn, problem: undefined, segmentsBeyond: 0 })
})

t.test('a file that lies about the size of its segment does not count', async (t) => {
  const { dir, wal } = filled(t)
  const good = readFileSync(join(dir, walFileName(1, SEGMENT, SEGMENT)))
  for (const size of [1, 3, 24, 4096, 24_627, SEGMENT / 2, 0x80000000, 0xffffffff]) {
    const lying = Buffer.from(good.subarray(0, 8192))
    lying.writeUInt32LE(size, 32)
    for (const [name, address] of [
      ['000000010000000300000000', 3 * 2 ** 32],
      ['0000000900000000FFFFFFFF', 0xffffffff],
      ['000000090000000000000000', 0],
    ] as const) {
      lying.writeBigUInt64LE(BigInt(address), 8)
      writeFileSync(join(dir, name), lying)
      t.match(
        await findWalEnd(realDisk, dir),
        { timeline: 1, startLsn: SEGMENT, endLsn: wal.next.lsn },
        `${name} ${size}`,
      )
      rmSync(join(dir, name))
    }
  }
})

t.test('old pages behind the last record, as a recycled segment has them, are the end of WAL', async (t) => {
  const { dir, wal } = filled(t, 2500)
  const path = join(dir, walFileName(1, wal.next.lsn, SEGMENT))
  const file = readFileSync(path)
  const page = Math.ceil((wal.next.lsn % SEGMENT) / 8192) * 8192
  readFileSync(join(dir, walFileName(1, SEGMENT, SEGMENT))).copy(file, page, page)
  writeFileSync(path, file)
  t.match(await findWalEnd(realDisk, dir), { endLsn: wal.next.lsn, problem: undefined })
})

t.test('a torn tail ends WAL at the last good record, wherever it was torn', async (t) => {
  const { dir, wal } = filled(t, 1500)
  const path = join(dir, walFileName(1, wal.next.lsn, SEGMENT))
  const whole = readFileSync(path)
  const last = wal.records.at(-1) as { lsn: number; endLsn: number }
  for (let cut = last.lsn; cut < last.endLsn; cut += 97) {
    const torn = Buffer.from(whole)
    torn.fill(0, cut % SEGMENT)
    writeFileSync(path, torn)
    const end = await findWalEnd(realDisk, dir)
    const allZero = whole.subarray(cut % SEGMENT, last.endLsn % SEGMENT).every((byte) => byte === 0)
    t.equal(end?.endLsn, allZero ? last.endLsn : last.lsn, `torn at ${cut - last.lsn}`)
  }
})

t.test('a bad record in the middle is told apart from a torn tail by the WAL that follows', async (t) => {
  const { dir } = filled(t)
  const path = join(dir, walFileName(1, SEGMENT, SEGMENT))
  const bytes = readFileSync(path)
  bytes[500_000] = (bytes[500_000] as number) ^ 16
  writeFileSync(path, bytes)
  const end = await findWalEnd(realDisk, dir)
  t.match(end, { problem: { kind: 'bad crc' }, segmentsBeyond: 2 })
  t.ok(end !== undefined && end.endLsn <= SEGMENT + 500_000)
})

t.test('the newest timeline counts, and its history tells which pages are right', async (t) => {
  const { dir, wal } = filled(t, 1500)
  const fork = wal.next.lsn
  const old = readFileSync(join(dir, walFileName(1, fork, SEGMENT)))
  writeFileSync(join(dir, walFileName(2, fork, SEGMENT)), old)
  const after = records({ ...wal.next, timeline: 2 }, 1500)
  writeSegments(dir, 2, after.start, after.bytes)
  const stale = records(wal.next, 3000)
  writeSegments(dir, 1, stale.start, stale.bytes)
  const history = [{ timeline: 1, end: fork }]
  writeFileSync(join(dir, '00000002.history'), formatHistory(history))
  t.match(await findWalEnd(realDisk, dir), {
    timeline: 2,
    history,
    startLsn: SEGMENT,
    endLsn: after.next.lsn,
  })
  t.match(await findWalEnd(realDisk, dir, { timeline: 1 }), { timeline: 1, endLsn: stale.next.lsn })
})

t.test(
  'a mirror killed when it had just begun to follow a new timeline still ends where it had acknowledged',
  async (t) => {
    const { dir, wal } = filled(t, 1500)
    const end = wal.next.lsn
    const fork = end + 64_000
    writeFileSync(join(dir, '00000002.history'), formatHistory([{ timeline: 1, end: fork }]))
    const begun = new Uint8Array(SEGMENT)
    begun.set(readFileSync(join(dir, walFileName(1, end, SEGMENT))).subarray(0, 30_000))
    writeFileSync(join(dir, walFileName(2, end, SEGMENT)), begun)
    t.match(await findWalEnd(realDisk, dir), { timeline: 1, startLsn: SEGMENT, endLsn: end })
    writeFileSync(join(dir, '00000002.history'), formatHistory([{ timeline: 1, end: end - 8 }]))
    t.match(await findWalEnd(realDisk, dir), { timeline: 2 }, 'but not beyond the fork')
  },
)

t.test(
  'a promoted mirror ends on its own timeline, although it received the end of the old one elsewhere',
  async (t) => {
    const { dir, wal } = filled(t, 1500)
    const fork = wal.next.lsn
    t.ok(fork > 2 * SEGMENT && fork < 3 * SEGMENT)
    copyFileSync(join(dir, walFileName(1, fork, SEGMENT)), join(dir, walFileName(2, fork, SEGMENT)))
    rmSync(join(dir, walFileName(1, fork, SEGMENT)))
    const first = join(dir, walFileName(1, SEGMENT, SEGMENT))
    writeFileSync(
      first,
      Buffer.concat([readFileSync(first).subarray(0, 50_000), Buffer.alloc(SEGMENT - 50_000)]),
    )
    writeFileSync(join(dir, '00000002.history'), formatHistory([{ timeline: 1, end: fork }]))
    const after = records({ ...wal.next, timeline: 2 }, 100)
    writeSegments(dir, 2, after.start, after.bytes)
    t.match(await findWalEnd(realDisk, dir), { timeline: 2, startLsn: 2 * SEGMENT, endLsn: after.next.lsn })
  },
)

t.test(
  'WAL is read from the first folder that has it, and from the timeline that it belongs to',
  async (t) => {
    const { dir, wal } = filled(t)
    const other = tempDir(t)
    const third = walFileName(1, 3 * SEGMENT, SEGMENT)
    copyFileSync(join(dir, third), join(other, third))
    rmSync(join(dir, third))
    copyFileSync(join(dir, walFileName(1, SEGMENT, SEGMENT)), join(dir, third))
    const files = createWalFiles({ disk: realDisk, folders: [join(dir, 'missing'), dir, other] })
    const read = async (from: number, to: number): Promise<Uint8Array> =>
      files.read({ timeline: 1, history: [], from, to })
    let at = SEGMENT
    while (at < wal.next.lsn) {
      const bytes = await read(at, wal.next.lsn)
      t.ok(bytes.length > 0 && bytes.length <= SEGMENT)
      t.ok(
        Buffer.compare(bytes, wal.bytes.subarray(at - SEGMENT, at - SEGMENT + bytes.length)) === 0,
        `from ${at}`,
      )
      at += bytes.length
    }
    t.equal((await read(SEGMENT + 77, SEGMENT + 78)).length, 1)
    t.equal(await files.oldestLsn(1, [], wal.next.lsn), SEGMENT)
    t.equal(await files.oldestLsn(1, [], 9 * SEGMENT), 9 * SEGMENT, 'nothing there: the end itself')
    rmSync(join(dir, walFileName(1, 2 * SEGMENT, SEGMENT)))
    t.equal(await files.oldestLsn(1, [], wal.next.lsn), 3 * SEGMENT)
    await t.rejects(read(2 * SEGMENT + 1, 3 * SEGMENT), {
      code: 'wal.removed',
      detail: { lsn: 2 * SEGMENT + 1 },
    })
    t.equal(await files.readHistory(2), undefined)
  },
)

t.test(
  'before a fork the bytes come from the old timeline, in the fork segment from the new one',
  async (t) => {
    const { dir, wal } = filled(t, 1500)
    const fork = wal.next.lsn
    const history = [{ timeline: 1, end: fork }]
    writeFileSync(
      join(dir, walFileName(2, fork, SEGMENT)),
      readFileSync(join(dir, walFileName(1, fork, SEGMENT))),
    )
    const after = records({ ...wal.next, timeline: 2 }, 100)
    writeSegments(dir, 2, after.start, after.bytes)
    const files = createWalFiles({ disk: realDisk, folders: [dir] })
    const bytes = await files.read({ timeline: 2, history, from: fork - 100, to: after.next.lsn })
    t.equal(bytes.length, after.next.lsn - fork + 100)
    t.ok(Buffer.compare(bytes.subarray(100), after.bytes) === 0)
    t.equal(await files.oldestLsn(2, history, after.next.lsn), SEGMENT)
    rmSync(join(dir, walFileName(2, fork, SEGMENT)))
    const old = await files.read({ timeline: 2, history, from: fork - 100, to: after.next.lsn })
    t.equal(old.length, 100, 'the old timeline ends at the fork')
  },
)
