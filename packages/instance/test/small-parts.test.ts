import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { realDisk, type Disk } from '@mirabelle/runtime'
import { walFileName } from '@mirabelle/wal'
import { begunCopy, decodeAnswer, DurableState, queryMessage } from '../src/index.ts'
import { slotTarget } from '../src/maintenance/slot.ts'
import { vacuumWork } from '../src/maintenance/vacuum.ts'
import { syncTail } from '../src/mirror/sync-tail.ts'
import { laterEnd, missedBy } from '../src/wal-parts.ts'
import { WalSync } from '../src/primary/wal-sync.ts'

const SEGMENT = 1024 * 1024

t.test(
  'the slot follows the mirror, stays while it is away, and is bounded by max_slot_wal_keep_size',
  (t) => {
    const at = { restartLsn: 100, endLsn: 1000, keepBytes: 5000, pinnedLsn: undefined }
    t.same(slotTarget({ ...at, mirrorFlushLsn: 700 }), { lsn: 700, mirrorLoses: false })
    t.same(slotTarget({ ...at, mirrorFlushLsn: 50 }), undefined, 'it cannot go back')
    t.same(slotTarget({ ...at, mirrorFlushLsn: 0 }), undefined, 'never connected: everything is kept')
    t.same(slotTarget({ ...at, mirrorFlushLsn: undefined }), { lsn: 1000, mirrorLoses: false }, 'no mirror')
    t.same(slotTarget({ ...at, mirrorFlushLsn: 200, keepBytes: 300 }), { lsn: 700, mirrorLoses: true })
    t.end()
  },
)

t.test(
  'vacuum statements quote names; what is about to wrap around has the templates looked at first',
  (t) => {
    const rows = [
      ['public', 't', 't', 'f', 'f'],
      ['S"x', 'T', 't', 't', 'f'],
      ['public', 'u', 'f', 't', 'f'],
    ]
    const ordinary = ['VACUUM "public"."t"', 'VACUUM (ANALYZE) "S""x"."T"', 'ANALYZE "public"."u"']
    t.same(
      vacuumWork(rows),
      ordinary.map((statement) => ({ statement, urgent: false })),
    )
    const [templates, old, ...others] = vacuumWork([['pg_catalog', 'pg_class', 'f', 'f', 't'], ...rows])
    t.match(templates, { statement: /^UPDATE pg_database/, urgent: true })
    t.same(old, { statement: 'VACUUM "pg_catalog"."pg_class"', urgent: true })
    t.equal(others.length, 3)
    t.end()
  },
)

t.test('one sync at a time, and the next as soon as there is WAL that it did not cover', async (t) => {
  const begun: ((lsn: number) => void)[] = []
  const durable: number[] = []
  const sync = new WalSync({
    syncWal: () => new Promise((resolve) => begun.push(resolve)),
    onDurable: (lsn) => durable.push(lsn),
    onFailed: (error) => t.fail(String(error)),
  })
  sync.request()
  sync.request()
  sync.request()
  t.equal(begun.length, 1)
  begun[0]?.(10)
  await new Promise((resolve) => setImmediate(resolve))
  t.same(durable, [10])
  t.equal(begun.length, 2, 'one more covers both requests')
  begun[1]?.(30)
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(begun.length, 2, 'nothing new, no sync')
})

t.test('the end of WAL is made durable however many recycled segments follow it', async (t) => {
  const synced: string[] = []
  const folder = 'pg_wal'
  const names = Array.from({ length: 200 }, (_, i) => walFileName(1, (i + 1) * SEGMENT, SEGMENT))
  const disk = {
    exists: async () => true,
    list: async () =>
      [...names, '00000002.history'].map((name) => ({ name, isDirectory: false, size: SEGMENT })),
    open: async (path: string) => ({
      sync: async () => void synced.push(path),
      close: async () => undefined,
    }),
    syncDir: async (path: string) => void synced.push(path),
  } as unknown as Disk
  await syncTail(disk, [folder], 100 * SEGMENT + 8, SEGMENT)
  t.same(synced, [...names.slice(36, 100).map((name) => `${folder}/${name}`), folder])
})

t.test('a failed sync is told, but not after the stop', async (t) => {
  const failed: unknown[] = []
  const make = () =>
    new WalSync({
      syncWal: () => Promise.reject(new Error('EIO')),
      onDurable: () => undefined,
      onFailed: (error) => failed.push(error),
    })
  make().request()
  const stopped = make()
  stopped.request()
  stopped.stop()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(failed.length, 1)
})

t.test(
  'durable state: what was set is there after a restart; a damaged file is refused by name',
  async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'mirabelle-state-'))
    t.teardown(() => rm(dir, { recursive: true, force: true }))
    const state = await DurableState.open(realDisk, dir)
    t.match(state, { epoch: 0, syncRep: null, standbyStale: false, role: null, copying: null })
    await Promise.all([state.raiseEpoch(7), state.raiseEpoch(3), state.setSyncRep(true), state.setRole('m')])
    await state.setCopying('full')
    const again = await DurableState.open(realDisk, dir)
    t.match(again, { epoch: 7, syncRep: true, standbyStale: false, role: 'm', copying: 'full' })
    await writeFile(join(dir, 'state', 'epoch.json'), '{"value": -1}')
    await t.rejects(DurableState.open(realDisk, dir), { code: 'datadir.broken', message: /epoch/ })
    await writeFile(join(dir, 'state', 'epoch.json'), '{"val')
    await t.rejects(DurableState.open(realDisk, dir), { code: 'datadir.broken' })
    await rm(join(dir, 'state', 'epoch.json'))
    await writeFile(join(dir, 'state', 'assignment.json'), '{"dbid": 2}')
    await t.rejects(DurableState.open(realDisk, dir), { code: 'datadir.broken', message: /assignment\.json/ })
  },
)

t.test('the mark of a copy that does not say which is refused by name', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'mirabelle-state-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  t.equal(await begunCopy(realDisk, dir), undefined)
  await mkdir(join(dir, 'state'))
  for (const text of ['{"mode":23}', '{}', 'null', '7']) {
    await writeFile(join(dir, 'state', 'copy-begun.json'), text)
    await t.rejects(begunCopy(realDisk, dir), { code: 'datadir.broken', message: /copy-begun\.json/ }, text)
  }
})

t.test('a value that could not be written does not show', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'mirabelle-state-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  let broken = true
  const disk = {
    ...realDisk,
    writeFileDurable: (path: string, text: string | Uint8Array) =>
      broken ? Promise.reject(new Error('ENOSPC')) : realDisk.writeFileDurable(path, text),
  }
  const state = await DurableState.open(disk, dir)
  await t.rejects(state.raiseEpoch(2), /ENOSPC/)
  t.equal(state.epoch, 0)
  broken = false
  await state.raiseEpoch(2)
  t.equal(state.epoch, 2, 'a failed write does not stop later ones')
})

t.test('after a write that failed, what was there before is written again when it is wanted', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'mirabelle-state-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  let broken = false
  const disk = {
    ...realDisk,
    // The file has its new name, and that could not be made durable.
    writeFileDurable: async (path: string, text: string | Uint8Array) => {
      await realDisk.writeFileDurable(path, text)
      if (broken) throw new Error('EIO')
    },
  }
  const state = await DurableState.open(disk, dir)
  await state.setSyncRep(true)
  broken = true
  await t.rejects(state.setSyncRep(false), /EIO/)
  t.equal(state.syncRep, true)
  broken = false
  await state.setSyncRep(true)
  t.equal((await DurableState.open(realDisk, dir)).syncRep, true)
})

t.test('own SQL: a Query message, and rows or the error of its answer', (t) => {
  t.same([...queryMessage('SELECT 1')].slice(0, 5), [0x51, 0, 0, 0, 13])
  const row = new Uint8Array([0x44, 0, 0, 0, 15, 0, 2, 0, 0, 0, 1, 0x37, 255, 255, 255, 255])
  t.same(decodeAnswer('x', row), [['7', null]])
  const body = new TextEncoder().encode('SERROR\0C42P01\0Mno such table\0\0')
  const error = new Uint8Array([0x45, 0, 0, 0, body.length + 4, ...body])
  t.throws(() => decodeAnswer('SELECT', error), { message: 'SELECT: no such table (42P01)' })
  t.end()
})

t.test(
  'of two folders the one whose WAL goes further counts, and a timeline just begun does not hide the older one',
  (t) => {
    const on = (timeline: number, receivedEnd: number, fork?: number) => ({
      timeline,
      receivedEnd,
      history: fork === undefined ? [] : [{ timeline: timeline - 1, end: fork }],
    })
    t.same(laterEnd(undefined, on(1, 5)), on(1, 5))
    t.same(laterEnd(on(1, 500), on(1, 300)), on(1, 500))
    t.same(laterEnd(on(1, 500), on(2, 700, 500)), on(2, 700, 500), 'followed the fork')
    t.same(laterEnd(on(1, 500), on(2, 400, 500)), on(1, 500), 'cut while it began to follow')
    t.same(laterEnd(on(2, 400, 500), on(1, 500)), on(1, 500), 'in either order')
    t.same(laterEnd(on(1, 600), on(2, 550, 500)), on(2, 550, 500), 'beyond the fork it is another history')
    t.end()
  },
)

t.test('a timeline that was begun before the end of what was received has missed something', (t) => {
  const own = { timeline: 2, receivedEnd: 700, history: [{ timeline: 1, end: 500 }] }
  const received = (timeline: number, receivedEnd: number) => ({ timeline, receivedEnd, history: [] })
  t.same(missedBy(own, received(1, 508)), { at: 500, received: 508 })
  t.equal(missedBy(own, received(1, 500)), undefined)
  t.equal(missedBy(own, received(2, 800)), undefined, 'of its own timeline')
  t.equal(missedBy(received(1, 500), received(2, 800)), undefined, 'followed a newer one')
  t.end()
})
