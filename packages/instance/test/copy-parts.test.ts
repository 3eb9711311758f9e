import t from 'tap'
import fc from 'fast-check'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync, existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BLOCK_BYTES } from '@mirabelle/engine'
import { MirabelleError } from '@mirabelle/messages'
import { realClock, realDisk, type Disk, type FileHandle } from '@mirabelle/runtime'
import { encodeWalRecords, formatHistory, historyFileName, walFileName } from '@mirabelle/wal'
import { HASH_BYTES, hashBlocks, hashFile, sameHash } from '../src/copy/block-hash.ts'
import { copyFile } from '../src/copy/copy-file.ts'
import type { CopySource } from '../src/copy/copy-source.ts'
import { shapeTree, syncTree, wantedTree } from '../src/copy/local-tree.ts'
import { beginBackup, endBackup } from '../src/copy/online-backup.ts'
import { putWalAside } from '../src/copy/put-wal-aside.ts'
import { CONTROL_FILE, SourceFiles } from '../src/copy/source-files.ts'
import { WorkLimit } from '../src/copy/work-limit.ts'
import { slotTarget } from '../src/maintenance/slot.ts'

const SEGMENT = 1024 * 1024

function folder(t: { teardown(fn: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'mirabelle-copy-parts-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

t.test('hashes tell every block apart, short last ones too', async (t) => {
  const bytes = Buffer.alloc(40 * BLOCK_BYTES + 100, 1)
  const before = hashBlocks(bytes)
  t.equal(before.length, 41 * HASH_BYTES)
  bytes[17 * BLOCK_BYTES + 5] = 2
  bytes[40 * BLOCK_BYTES + 99] = 2
  const after = hashBlocks(bytes)
  const differ = Array.from({ length: 41 }, (_, block) => block).filter(
    (block) => !sameHash(before, after, block),
  )
  t.same(differ, [17, 40])
  t.notOk(sameHash(before, after, 41), 'a block that is not there equals nothing')

  const path = join(folder(t), 'f')
  writeFileSync(path, bytes)
  const file = await realDisk.open(path, 'r')
  t.same(Buffer.from(await hashFile(file, 0, 100)), Buffer.from(after))
  t.same(
    Buffer.from(await hashFile(file, 33, 2)),
    Buffer.from(after.subarray(33 * HASH_BYTES, 35 * HASH_BYTES)),
  )
  const cut = hashBlocks(bytes.subarray(0, 33 * BLOCK_BYTES + 7))
  t.same(Buffer.from(await hashFile(file, 0, 100, 33 * BLOCK_BYTES + 7)), Buffer.from(cut))
  t.equal((await hashFile(file, 41, 8)).length, 0)
  await file.close()
})

t.test('a work limit keeps its number, and begins nothing after a failure', async (t) => {
  const limit = new WorkLimit(3)
  let running = 0
  let most = 0
  let begun = 0
  const work = (fails: boolean) => async () => {
    begun++
    most = Math.max(most, ++running)
    await new Promise(setImmediate)
    running--
    if (fails) throw new MirabelleError('wal.removed', 'gone')
  }
  await limit.all(Array.from({ length: 20 }, () => work(false)))
  t.same([most, begun, running], [3, 20, 0])
  begun = 0
  const tasks = [work(false), work(true), ...Array.from({ length: 20 }, () => work(false))]
  await t.rejects(limit.all(tasks), { code: 'wal.removed' }, 'the first failure is told')
  t.equal(running, 0, 'and only when nothing runs any more')
  t.ok(begun <= 5, `${begun} were begun`)
  await t.rejects(limit.run(work(false)), { code: 'wal.removed' })
})

/** The primary's side of one file, in memory. */
function fakeSource(content: () => Uint8Array) {
  const fetched: number[] = []
  const source = {
    hashes: (_path: string, first: number, blocks: number) => {
      const from = first * BLOCK_BYTES
      return Promise.resolve(hashBlocks(content().subarray(from, from + blocks * BLOCK_BYTES)))
    },
    read: (_path: string, offset: number, length: number) => {
      const bytes = Uint8Array.from(content().subarray(offset, offset + length))
      for (let at = 0; at < bytes.length; at += BLOCK_BYTES) fetched.push((offset + at) / BLOCK_BYTES)
      return Promise.resolve(bytes)
    },
  }
  return { source: source as unknown as CopySource, fetched }
}

const run = (
  source: CopySource,
  target: string,
  size: number,
  done: (bytes: number) => void = () => undefined,
) => copyFile({ disk: realDisk, source, limit: new WorkLimit(4), done }, { path: 'f', target, size })

t.test(
  'a copied file is the primary’s, whatever lay there, and only blocks that differ are fetched',
  async (t) => {
    const base = folder(t)
    const target = join(base, 'f')
    const blocksOf = fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 700 })
    const tail = fc.integer({ min: 0, max: BLOCK_BYTES - 1 })
    const make = (blocks: readonly number[], rest: number): Buffer =>
      Buffer.concat([...blocks.map((value) => Buffer.alloc(BLOCK_BYTES, value)), Buffer.alloc(rest, 9)])
    await fc.assert(
      fc.asyncProperty(blocksOf, tail, fc.option(fc.tuple(blocksOf, tail)), async (theirs, rest, ours) => {
        const remote = make(theirs, rest)
        rmSync(target, { force: true })
        const local = ours === null ? Buffer.alloc(0) : make(...ours)
        if (ours !== null) writeFileSync(target, local)
        const { source, fetched } = fakeSource(() => remote)
        let done = 0
        await run(source, target, remote.length, (bytes) => {
          done += bytes
        })
        const differing: number[] = []
        for (let at = 0; at < remote.length; at += BLOCK_BYTES) {
          const end = Math.min(at + BLOCK_BYTES, remote.length)
          if (!remote.subarray(at, end).equals(local.subarray(at, end))) differing.push(at / BLOCK_BYTES)
        }
        fetched.sort((a, b) => a - b)
        return (
          readFileSync(target).equals(remote) &&
          done === remote.length &&
          JSON.stringify(fetched) === JSON.stringify(differing)
        )
      }),
      { numRuns: 60 },
    )
  },
)

t.test('a file that changes its length during the copy ends where reading found its end', async (t) => {
  const target = join(folder(t), 'f')
  const listed = 300 * BLOCK_BYTES
  const shrunk = Buffer.alloc(120 * BLOCK_BYTES, 3)
  writeFileSync(target, Buffer.alloc(listed, 1))
  await run(fakeSource(() => shrunk).source, target, listed)
  t.ok(readFileSync(target).equals(shrunk), 'shorter')

  rmSync(target)
  await run(fakeSource(() => shrunk).source, target, listed)
  t.ok(readFileSync(target).equals(shrunk), 'shorter, and new here')

  const grown = Buffer.from('one line\nanother line\n')
  writeFileSync(target, 'one line\n')
  await run(fakeSource(() => grown).source, target, 9)
  t.equal(readFileSync(target, 'utf8'), grown.toString(), 'longer, within a block that was looked at')

  writeFileSync(target, Buffer.alloc(listed, 1))
  await run(fakeSource(() => Buffer.alloc(0)).source, target, listed)
  t.notOk(existsSync(target), 'a file that was dropped is not left empty')
  await run(fakeSource(() => Buffer.alloc(0)).source, target, 0)
  t.equal(readFileSync(target).length, 0, 'one that was empty is there')
})

t.test('every copied file is made durable, also when nothing of it differs', async (t) => {
  const target = join(folder(t), 'f')
  writeFileSync(target, Buffer.alloc(BLOCK_BYTES, 1))
  let synced = 0
  const disk: Disk = {
    ...realDisk,
    open: async (path, mode): Promise<FileHandle> => {
      const file = await realDisk.open(path, mode)
      return { ...file, sync: () => ((synced += 1), file.sync()) }
    },
  }
  const { source, fetched } = fakeSource(() => Buffer.alloc(BLOCK_BYTES, 1))
  await copyFile(
    { disk, source, limit: new WorkLimit(1), done: () => undefined },
    { path: 'f', target, size: BLOCK_BYTES },
  )
  t.same([synced, fetched], [1, []])
})

t.test('the local tree gets the primary’s folders and loses what the primary does not have', async (t) => {
  const files = (realDisk as Required<Disk>).bulk()
  t.teardown(() => files.close())
  for (const bulk of [undefined, files]) {
    const root = join(folder(t), 'pgdata')
    for (const path of ['base/1', 'base/9', 'pg_replslot/old', 'global', 'was_folder'])
      mkdirSync(join(root, path), { recursive: true })
    for (const path of [
      'base/1/1',
      'base/1/2',
      'base/9/1',
      'pg_replslot/old/state',
      'global/pg_control',
      'recovery.signal',
    ])
      writeFileSync(join(root, path), 'x')
    const wanted = wantedTree([
      'base/',
      'base/1/',
      'base/1/1',
      'base/2/',
      'pg_replslot/',
      'global/',
      'was_folder',
    ])
    await shapeTree(realDisk, root, wanted, bulk)
    await syncTree(realDisk, root, wanted)
    const left = readdirSync(root, { recursive: true }).map(String).sort()
    t.same(left, ['base', 'base/1', 'base/1/1', 'base/2', 'global', 'pg_replslot'])
  }
})

/** Folder D of an instance with WAL of timeline 1 up to `end`, and where that ends exactly. */
function withWal(t: { teardown(fn: () => void): void }, where: 'pg_wal' | 'wal', segments: number) {
  const datadir = folder(t)
  const walFolder = where === 'wal' ? join(datadir, 'wal') : join(datadir, 'pgdata', 'pg_wal')
  for (const path of [join(datadir, 'wal'), join(datadir, 'pgdata', 'pg_wal', 'archive_status')])
    mkdirSync(path, { recursive: true })
  const start = 4 * SEGMENT
  const position = { timeline: 1, lsn: start, prev: 0, segmentSize: SEGMENT, systemIdentifier: 5n }
  const payload = { payload: Buffer.alloc(100_000, 1) }
  const encoded = encodeWalRecords(
    position,
    Array.from({ length: segments * 10 }, () => payload),
  )
  for (let at = 0; at < encoded.bytes.length; at += SEGMENT) {
    const bytes = Buffer.alloc(SEGMENT)
    bytes.set(encoded.bytes.subarray(at, at + SEGMENT))
    writeFileSync(join(walFolder, walFileName(1, start + at, SEGMENT)), bytes)
  }
  // A recycled segment: an old page under a name of the future.
  const recycled = readFileSync(join(walFolder, walFileName(1, start, SEGMENT)))
  writeFileSync(join(walFolder, walFileName(1, start + 50 * SEGMENT, SEGMENT)), recycled)
  return { datadir, walFolder, start, end: encoded.next.lsn }
}

for (const where of ['pg_wal', 'wal'] as const) {
  t.test(
    `diverged WAL in ${where} is moved aside, common WAL is deleted, and it can be run again`,
    async (t) => {
      const { datadir, walFolder, start, end } = withWal(t, where, 3)
      const fork = start + SEGMENT + 5000
      const primary = { timeline: 2, history: [{ timeline: 1, end: fork }], endLsn: end + 10 * SEGMENT }
      const kept = await putWalAside(realDisk, datadir, primary)
      t.equal(kept, `${datadir}/diverged/1-0_${end.toString(16).toUpperCase()}`)
      const expected: string[] = []
      for (let at = start + SEGMENT; at < end; at += SEGMENT) expected.push(walFileName(1, at, SEGMENT))
      t.same(readdirSync(join(kept ?? '', where)), expected, 'from the segment of the fork on')
      t.same(
        readdirSync(walFolder).filter((name) => name !== 'archive_status'),
        [],
      )
      t.equal(await putWalAside(realDisk, datadir, primary), undefined)
      t.same(readdirSync(join(kept ?? '', where)), expected)
    },
  )
}

t.test('WAL that the primary has as well is not kept; WAL of a foreign timeline is', async (t) => {
  const behind = withWal(t, 'wal', 2)
  t.equal(
    await putWalAside(realDisk, behind.datadir, { timeline: 1, history: [], endLsn: behind.end }),
    undefined,
    'a mirror that was only behind',
  )
  t.same(readdirSync(behind.walFolder), [])
  t.notOk(existsSync(join(behind.datadir, 'diverged')))

  const atFork = withWal(t, 'pg_wal', 2)
  const history = [{ timeline: 1, end: atFork.end }]
  t.equal(
    await putWalAside(realDisk, atFork.datadir, { timeline: 2, history, endLsn: atFork.end + 1000 }),
    undefined,
    'an ex-primary that ended at the fork',
  )

  const ahead = withWal(t, 'pg_wal', 2)
  t.ok(
    await putWalAside(realDisk, ahead.datadir, { timeline: 1, history: [], endLsn: ahead.end - 8 }),
    'ahead',
  )

  const foreign = withWal(t, 'pg_wal', 2)
  writeFileSync(
    join(foreign.walFolder, historyFileName(2)),
    formatHistory([{ timeline: 1, end: foreign.end }]),
  )
  const kept = await putWalAside(realDisk, foreign.datadir, {
    timeline: 5,
    history: [],
    endLsn: 10 * foreign.end,
  })
  const names = readdirSync(join(kept ?? '', 'pg_wal'))
  t.ok(names.includes('00000002.history'), 'with its history')
  t.ok(names.length >= 3, 'all of it')
})

t.test(
  'files of the source: gone reads as empty, few stay open, the control file is read until two readings agree',
  async (t) => {
    const base = folder(t)
    mkdirSync(join(base, 'global'))
    for (let i = 0; i < 100; i++) writeFileSync(join(base, `f${i}`), `file ${i}`)
    let open = 0
    let mostOpen = 0
    let controls = 0
    const disk: Disk = {
      ...realDisk,
      open: async (path, mode) => {
        if (path.endsWith(CONTROL_FILE)) {
          const read = () => Promise.resolve(Buffer.from(controls < 3 ? `half ${controls++}` : 'whole'))
          return { ...(await realDisk.open(join(base, 'f0'), 'r')), read }
        }
        const file = await realDisk.open(path, mode)
        mostOpen = Math.max(mostOpen, ++open)
        return { ...file, close: () => ((open -= 1), file.close()) }
      },
    }
    const files = new SourceFiles(disk, base)
    for (let i = 0; i < 100; i++)
      t.equal(Buffer.from(await files.read(`f${i}`, 0, 100)).toString(), `file ${i}`)
    t.ok(mostOpen <= 33, `${mostOpen} were open at a time`)
    t.equal((await files.read('dropped', 0, 8192)).length, 0)
    t.equal((await files.hashes('dropped', 0, 4)).length, 0)
    t.equal(Buffer.from(await files.read(CONTROL_FILE, 0, 100)).toString(), 'whole')
    await files.close()
    t.equal(open, 0)
  },
)

t.test('a backup begins in a quiet moment, after one that was left behind is ended', async (t) => {
  const ran: string[] = []
  let left = true
  let quiet = 0
  const wrongState = () =>
    new MirabelleError('internal', 'a backup is already in progress', { detail: { sqlstate: '55000' } })
  const sqlOf = async (sql: string) => {
    ran.push(sql.replace(/^SELECT (\S+?)\(.*$/, '$1').slice(0, 30))
    if (sql.includes('pg_backup_start') && left) throw wrongState()
    if (sql.includes('pg_backup_stop')) {
      if (!left && ran.length < 3) throw wrongState()
      left = false
      return [['0/30', 'label']]
    }
    return sql.includes('restart_lsn') ? [['0/10']] : [['0/20']]
  }
  const options = {
    clock: realClock,
    subject: 'dbid 2',
    over: () => false,
    quietly: async (work: (run: typeof sqlOf) => Promise<void>) => {
      if (quiet++ === 0) return false
      await work(sqlOf)
      return true
    },
  }
  t.equal(await beginBackup(options), 0x20)
  t.equal(quiet, 2, 'waited for the next moment')
  const backups = ran.filter((sql) => /backup|labelfile/.test(sql))
  t.match(backups, ['pg_backup_start', /lsn, labelfile/, 'pg_backup_start'])
  t.same(await endBackup(options), { endLsn: 0x30, label: 'label' })
  ran.length = 0
  await t.rejects(endBackup(options), { code: 'not.ready', message: /dbid 2/ }, 'PostgreSQL was restarted')
  await t.rejects(
    endBackup({ ...options, quietly: () => Promise.resolve(false), over: () => true }),
    { code: 'connection.lost' },
    'a wait ends when nobody needs the backup any more',
  )
})

t.test('WAL that a copy needs is kept, within max_slot_wal_keep_size', (t) => {
  const at = { restartLsn: 100, endLsn: 1000, keepBytes: 5000 }
  t.same(slotTarget({ ...at, mirrorFlushLsn: undefined, pinnedLsn: 400 }), { lsn: 400, mirrorLoses: false })
  t.same(slotTarget({ ...at, mirrorFlushLsn: 900, pinnedLsn: 400 }), { lsn: 400, mirrorLoses: false })
  t.same(slotTarget({ ...at, mirrorFlushLsn: 300, pinnedLsn: 400 }), { lsn: 300, mirrorLoses: false })
  t.same(slotTarget({ ...at, mirrorFlushLsn: undefined, pinnedLsn: 400, keepBytes: 100 }), {
    lsn: 900,
    mirrorLoses: true,
  })
  t.end()
})
