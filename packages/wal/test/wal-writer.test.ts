import t from 'tap'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MirabelleError } from '@mirabelle/messages'
import { realDisk } from '@mirabelle/runtime'
import type { Disk, FileHandle } from '@mirabelle/runtime'
import { WalWriter } from '../src/index.ts'
import { SEGMENT, tempDir } from './support/fixture.ts'

const bytesOf = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => ((i * 7 + seed) & 127) + 1)

interface Spy {
  disk: Disk
  log: string[]
  /** Syncs wait for it. */
  gate: Promise<void>
  fail: { write?: string; sync?: string }
  /** No file can grow. */
  full: boolean
}

/** The real disk, with what happens written down and errors on demand. */
function spyDisk(): Spy {
  const spy: Spy = { log: [], gate: Promise.resolve(), fail: {}, full: false, disk: realDisk }
  const error = (code: string): Error => Object.assign(new Error(code), { code })
  const wrap = (file: FileHandle): FileHandle => ({
    read: (position, length) => file.read(position, length),
    truncate: (length) => file.truncate(length),
    reserve: async (length) => {
      if (spy.full && length > (await file.size())) throw error('ENOSPC')
      await file.reserve(length)
    },
    size: () => file.size(),
    close: () => file.close(),
    async write(position, bytes) {
      if (spy.fail.write !== undefined) throw error(spy.fail.write)
      if (spy.full && position + bytes.length > (await file.size())) throw error('ENOSPC')
      await file.write(position, bytes)
      spy.log.push(`write ${bytes.length}`)
    },
    async sync() {
      spy.log.push('sync begins')
      await spy.gate
      if (spy.fail.sync !== undefined) throw error(spy.fail.sync)
      await file.sync()
      spy.log.push('sync ends')
    },
  })
  spy.disk = {
    ...realDisk,
    open: async (path, mode) => wrap(await realDisk.open(path, mode)),
    syncDir: async (path) => {
      await realDisk.syncDir(path)
      spy.log.push('folder')
    },
  }
  return spy
}

/** The real disk; writes and flushes wait until they are let go, and a flush covers the writes that had ended when it began. */
function lossyDisk() {
  const held = {
    disk: realDisk,
    holdWrites: false,
    writes: [] as (() => void)[],
    syncs: [] as (() => void)[],
    /** Writes that no flush has covered: their places. */
    notDurable: [] as number[],
    freeSyncs: () => {
      holdSyncs = false
      for (const go of held.syncs.splice(0)) go()
    },
  }
  let holdSyncs = true
  const wrap = (file: FileHandle): FileHandle => ({
    read: (position, length) => file.read(position, length),
    truncate: (length) => file.truncate(length),
    reserve: (length) => file.reserve(length),
    size: () => file.size(),
    close: () => file.close(),
    async write(position, bytes) {
      if (held.holdWrites) await new Promise<void>((resolve) => held.writes.push(resolve))
      await file.write(position, bytes)
      held.notDurable.push(position)
    },
    async sync() {
      const covered = new Set(held.notDurable)
      if (holdSyncs) await new Promise<void>((resolve) => held.syncs.push(resolve))
      await file.sync()
      held.notDurable = held.notDurable.filter((one) => !covered.has(one))
    },
  })
  held.disk = { ...realDisk, open: async (path, mode) => wrap(await realDisk.open(path, mode)) }
  return held
}

function writerIn(
  dir: string,
  options: { disk?: Disk; start?: number; protectedEnd?: number } = {},
): { writer: WalWriter; synced: number[]; errors: MirabelleError[] } {
  const synced: number[] = []
  const errors: MirabelleError[] = []
  const writer = new WalWriter({
    disk: options.disk ?? realDisk,
    dir,
    start: options.start ?? SEGMENT,
    protectedEnd: options.protectedEnd ?? 0,
    onSynced: (end) => synced.push(end),
    onError: (error) => errors.push(error),
  })
  return { writer, synced, errors }
}

t.test('bytes land at their place in segment files of full size, zeros behind them', async (t) => {
  const dir = tempDir(t)
  const { writer, synced, errors } = writerIn(dir)
  const all = bytesOf(2.5 * SEGMENT)
  for (let at = 0; at < all.length; at += 70_001)
    writer.append(1, SEGMENT + at, all.subarray(at, at + 70_001))
  await writer.settled()
  t.same(errors, [])
  t.equal(synced.at(-1), SEGMENT + all.length)
  t.same(readdirSync(dir), [
    '000000010000000000000001',
    '000000010000000000000002',
    '000000010000000000000003',
  ])
  const files = Buffer.concat(readdirSync(dir).map((name) => readFileSync(join(dir, name))))
  t.ok(files.subarray(0, all.length).equals(all))
  t.ok(files.subarray(all.length).every((byte) => byte === 0))
  t.equal(statSync(join(dir, '000000010000000000000003')).size, SEGMENT)
  await writer.close()
})

t.test('writing goes on while a flush is in flight, and the next flush covers all of it', async (t) => {
  const dir = tempDir(t)
  const spy = spyDisk()
  let open: () => void = () => undefined
  spy.gate = new Promise((resolve) => (open = resolve))
  const { writer, synced } = writerIn(dir, { disk: spy.disk })
  writer.append(1, SEGMENT, bytesOf(100))
  await waitFor(() => spy.log.includes('sync begins'))
  for (let i = 1; i <= 5; i++) {
    writer.append(1, SEGMENT + i * 100, bytesOf(100))
    await waitFor(() => writer.writtenEnd === SEGMENT + (i + 1) * 100)
  }
  t.equal(writer.syncedEnd, SEGMENT, 'nothing is durable yet')
  t.same(synced, [])
  open()
  await writer.settled()
  t.same(synced, [SEGMENT + 100, SEGMENT + 600])
  t.equal(spy.log.filter((line) => line === 'sync begins').length, 2)
  t.ok(spy.log.includes('folder'), 'a new segment is made durable in its folder')
  t.ok(spy.log.indexOf('folder') < spy.log.lastIndexOf('sync begins'), 'before its bytes count')
  await writer.close()
})

t.test('a flush that begins while a write is under way does not count for that write', async (t) => {
  const dir = tempDir(t)
  const disk = lossyDisk()
  const { writer, synced } = writerIn(dir, { disk: disk.disk })
  const append = (i: number): void => writer.append(1, SEGMENT + i * 100, bytesOf(100, i))
  append(0)
  await waitFor(() => disk.syncs.length === 1)
  append(1)
  await waitFor(() => writer.writtenEnd === SEGMENT + 200)
  disk.holdWrites = true
  append(2)
  await waitFor(() => disk.writes.length === 1)
  // The first flush ends, and the next one covers the second write, and nothing of the third, which is still under way.
  disk.syncs.shift()?.()
  await waitFor(() => disk.syncs.length === 1)
  disk.writes.shift()?.()
  await waitFor(() => writer.writtenEnd === SEGMENT + 300)
  disk.freeSyncs()
  await writer.settled()
  t.same(synced, [SEGMENT + 100, SEGMENT + 200, SEGMENT + 300])
  t.same(disk.notDurable, [], 'all that was reported as durable is')
  await writer.close()
})

t.test('WAL that was acknowledged is compared, never overwritten with other bytes', async (t) => {
  const dir = tempDir(t)
  const bytes = bytesOf(50_000)
  const first = writerIn(dir)
  first.writer.append(1, SEGMENT, bytes)
  await first.writer.close()
  const end = SEGMENT + 30_000

  const again = writerIn(dir, { protectedEnd: end })
  again.writer.append(1, SEGMENT, bytes.subarray(0, 40_000))
  await again.writer.close()
  t.same(again.errors, [])
  t.same(again.synced, [SEGMENT + 40_000])

  const before = readFileSync(join(dir, readdirSync(dir)[0] as string))
  t.ok(
    before.subarray(40_000).every((byte) => byte === 0),
    'the unacknowledged tail of the older stream is gone',
  )
  const other = Uint8Array.from(bytes)
  other[29_999] = (other[29_999] as number) ^ 255
  const liar = writerIn(dir, { protectedEnd: end })
  liar.writer.append(1, SEGMENT, other)
  await liar.writer.close()
  t.match(liar.errors, [{ code: 'wal.rewrite' }])
  t.same(liar.synced, [])
  t.ok(
    readFileSync(join(dir, readdirSync(dir)[0] as string))
      .subarray(0, 30_000)
      .equals(before.subarray(0, 30_000)),
  )

  const beyond = Uint8Array.from(bytes)
  beyond[30_000] = (beyond[30_000] as number) ^ 255
  const tail = writerIn(dir, { protectedEnd: end })
  tail.writer.append(1, SEGMENT, beyond)
  await tail.writer.close()
  t.same(tail.errors, [], 'what was never acknowledged may change')
})

t.test('an empty page below the acknowledged end is filled, not taken for other bytes', async (t) => {
  const dir = tempDir(t)
  writeFileSync(join(dir, '000000010000000000000001'), new Uint8Array(SEGMENT))
  const { writer, errors } = writerIn(dir, { protectedEnd: SEGMENT + 20_000 })
  writer.append(1, SEGMENT, bytesOf(20_000))
  await writer.close()
  t.same(errors, [])
  t.ok(readFileSync(join(dir, '000000010000000000000001')).subarray(0, 20_000).equals(bytesOf(20_000)))
})

t.test(
  'a segment is gone on with on a full disk: it keeps its length, and what was acknowledged whole pages',
  async (t) => {
    const dir = tempDir(t)
    const path = join(dir, '000000010000000000000001')
    const before = writerIn(dir)
    before.writer.append(1, SEGMENT, bytesOf(20_000))
    await before.writer.close()
    const spy = spyDisk()
    spy.full = true
    const { writer, synced, errors } = writerIn(dir, { disk: spy.disk, protectedEnd: SEGMENT + 10_000 })
    writer.append(1, SEGMENT, bytesOf(10_100))
    await writer.close()
    t.same(errors, [])
    t.same(synced, [SEGMENT + 10_100])
    const file = readFileSync(path)
    t.equal(file.length, SEGMENT)
    t.ok(file.subarray(0, 10_100).equals(bytesOf(10_100)))
    t.ok(file.subarray(10_100).every((byte) => byte === 0))
  },
)

for (const [where, code, told] of [
  ['write', 'ENOSPC', 'disk.full'],
  ['sync', 'EIO', 'disk.failed'],
] as const) {
  t.test(`after ${code} at ${where} nothing more is reported as durable`, async (t) => {
    const dir = tempDir(t)
    const spy = spyDisk()
    const { writer, synced, errors } = writerIn(dir, { disk: spy.disk })
    writer.append(1, SEGMENT, bytesOf(100))
    await writer.settled()
    t.same(synced, [SEGMENT + 100])
    spy.fail[where] = code
    writer.append(1, SEGMENT + 100, bytesOf(100))
    await writer.settled()
    spy.fail = {}
    writer.append(1, SEGMENT + 200, bytesOf(100))
    await writer.close()
    t.same(synced, [SEGMENT + 100])
    t.match(errors, [{ code: told, cause: { code } }])
  })
}

t.test('bytes with a gap before them are refused', (t) => {
  const { writer } = writerIn(tempDir(t))
  t.throws(() => writer.append(1, SEGMENT + 8, bytesOf(8)), { code: 'internal' })
  t.end()
})

async function waitFor(condition: () => boolean): Promise<void> {
  const end = Date.now() + 10_000
  while (!condition()) {
    if (Date.now() > end) throw new Error('waited in vain')
    await new Promise((resolve) => setImmediate(resolve))
  }
}
