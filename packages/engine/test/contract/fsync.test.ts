/** What reaches the disk, and in which order: PostgreSQL runs here in this thread, with the system calls recorded. */
import fs, { readlinkSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { basename, sep } from 'node:path'
import t from 'tap'
import { instancePaths, WAL_SEGMENT_BYTES } from '@mirabelle/engine'
import { syncFiles } from '../../src/host/sync-files.ts'
import { Field, SharedState } from '../../src/shared/shared-state.ts'
import { parseSegmentName } from '../../src/layout.ts'
import { compiledPostgres } from '../../src/host/postgres-wasm.ts'
import { startBackend } from '../../src/worker/backend.ts'
import { DurableFs, type FsObserver } from '../../src/worker/durable-fs.ts'
import { LateSyncs } from '../../src/worker/late-syncs.ts'
import { FsyncFailed, WalGuard } from '../../src/worker/wal-guard.ts'
import { newInstance } from '../support/kit.ts'

interface Call {
  readonly call: 'fsync' | 'fdatasync' | 'write'
  readonly path: string
  /** Of a write: the file's bytes behind it, and the LSN of the newest of its pages. */
  readonly end?: number
  readonly lsn?: number
}

const PAGE = 8192
const calls: Call[] = []
let watching = false

/** Records calls below a watched folder while `watching`. The recorder replaces Node's functions for this process only. */
function record(): void {
  const { fsyncSync, fdatasyncSync, writeSync } = fs
  const note = (call: Call['call'], fd: number): void => {
    if (watching) calls.push({ call, path: readlinkSync(`/proc/self/fd/${fd}`) })
  }
  fs.fsyncSync = (fd) => {
    note('fsync', fd)
    fsyncSync(fd)
  }
  fs.fdatasyncSync = (fd) => {
    note('fdatasync', fd)
    fdatasyncSync(fd)
  }
  fs.writeSync = ((fd: number, bytes: Int8Array, offset: number, length: number, position: number) => {
    if (watching) {
      const pages = Buffer.from(bytes.buffer, bytes.byteOffset + offset, length)
      const lsns = Array.from({ length: Math.floor(length / PAGE) }, (_, i) => {
        return pages.readUInt32LE(i * PAGE) * 2 ** 32 + pages.readUInt32LE(i * PAGE + 4)
      })
      const path = readlinkSync(`/proc/self/fd/${fd}`)
      calls.push({ call: 'write', path, end: position + length, lsn: Math.max(0, ...lsns) })
    }
    return writeSync(fd, bytes, offset, length, position)
  }) as typeof writeSync
  syncBuiltinESMExports()
  t.teardown(() => {
    Object.assign(fs, { fsyncSync, fdatasyncSync, writeSync })
    syncBuiltinESMExports()
  })
}

const observer: FsObserver = {
  walWritten() {},
  walWanted() {},
  walRead() {},
  dataTouched() {},
  syncFailed(error) {
    throw error
  },
}

async function primary(): Promise<Parameters<typeof startBackend>[2]> {
  return { role: 'primary', settings: [], wasm: await compiledPostgres('nothing') }
}

const isWal = ({ path }: Call): boolean => path.includes(`${sep}pg_wal`)

t.test(
  'fsync and the order of WAL and data',
  { skip: process.platform !== 'linux' && 'reads /proc' },
  async (t) => {
    record()
    const folder = await newInstance(t)
    const paths = instancePaths(folder)
    const state = new SharedState()
    const guard = new WalGuard(paths.pgWal, state)
    const late = new LateSyncs(state, 'primary', () => state.addAndWake(Field.filesSynced, 1))
    const durable = new DurableFs(paths, WAL_SEGMENT_BYTES, guard, late, observer)
    const pg = await startBackend(paths, durable, await primary(), () => undefined)
    durable.opened()
    t.same((await pg.query('SHOW fsync')).rows, [{ fsync: 'on' }], 'the start parameter -F is gone')
    await pg.exec('CREATE TABLE a(i int, b text)')
    await pg.exec('CHECKPOINT')

    watching = true
    await pg.exec("INSERT INTO a SELECT g, 'x' FROM generate_series(1, 100) g")
    t.ok(
      calls.some((one) => one.call === 'write' && isWal(one)),
      'a commit writes WAL',
    )
    t.notOk(
      calls.some((one) => one.call !== 'write' && isWal(one)),
      'and leaves its fsync to the main thread',
    )

    calls.length = 0
    await pg.exec('CHECKPOINT')
    watching = false
    const dataSyncs = calls.filter((one) => one.call === 'fsync' && !isWal(one))
    t.ok(dataSyncs.length >= 3, `CHECKPOINT fsyncs data files (${dataSyncs.length})`)
    t.ok(dataSyncs.some((one) => basename(one.path) === 'pg_control'))
    const firstData = calls.findIndex((one) => !isWal(one))
    const firstWalSync = calls.findIndex((one) => one.call === 'fdatasync' && isWal(one))
    t.ok(
      firstWalSync !== -1 && firstWalSync < firstData,
      'WAL is made durable before the first data page is written',
    )

    calls.length = 0
    watching = true
    await pg.exec("INSERT INTO a SELECT g, repeat('x', 1000) FROM generate_series(1, 30000) g")
    watching = false
    t.ok(
      calls.some((one) => one.call === 'write' && !isWal(one)),
      'more than fits into the buffers',
    )
    // WAL before it is durable as it will stay: the last page of a write may be written again with more in it.
    let durableEnd = 0
    let written = 0
    let isDirty = true
    const count = { pages: 0, syncs: 0 }
    for (const { call, path, end = 0, lsn = 0 } of calls) {
      if (path.includes(`${sep}pg_wal${sep}`)) {
        if (call === 'write')
          written = (parseSegmentName(basename(path), WAL_SEGMENT_BYTES)?.start ?? 0) + end
        else {
          count.syncs++
          durableEnd = written - PAGE
        }
        isDirty = call === 'write'
      } else if (call === 'write' && path.includes(`${sep}base${sep}`)) {
        count.pages++
        if (isDirty && lsn > durableEnd)
          t.fail(`${path} was written with LSN ${lsn}, WAL is durable up to ${durableEnd}`)
      }
    }
    t.ok(count.syncs > 0 && count.syncs * 10 < count.pages, `no sync a page: ${JSON.stringify(count)}`)
    await pg.close()
  },
)

/** PostgreSQL that has not opened yet: its syncs are put off; `synced` gets each group when it is asked for. */
async function starting(
  t: Parameters<typeof newInstance>[0],
  state: SharedState,
  role: 'primary' | 'mirror',
  synced: (paths: readonly string[]) => void,
) {
  const paths = instancePaths(await newInstance(t))
  const late = new LateSyncs(state, role, synced)
  const guard = new WalGuard(paths.pgWal, state)
  const durable = new DurableFs(paths, WAL_SEGMENT_BYTES, guard, late, observer)
  return { paths, durable, pg: await startBackend(paths, durable, await primary(), () => undefined) }
}

/** Syncs of files as a disk does them that takes its time: the first group is done when the second one is asked for. */
function slowDisk(state: SharedState, onSync: () => void = () => undefined) {
  const groups: (readonly string[])[] = []
  let underWay = 0
  return {
    groups,
    sync(group: readonly string[]): void {
      groups.push(group)
      onSync()
      underWay++
      if (underWay === 2) state.addAndWake(Field.filesSynced, underWay)
      underWay %= 2
    },
  }
}

t.test(
  'the fsyncs of a start are done together, before the control file names another checkpoint and before the backend opens',
  { skip: process.platform !== 'linux' && 'reads /proc' },
  async (t) => {
    const state = new SharedState()
    let isSlow = false
    const disk = slowDisk(state, () => calls.push({ call: 'fsync', path: 'a group' }))
    const { groups } = disk
    const { paths, durable, pg } = await starting(t, state, 'primary', (group) => {
      if (isSlow) disk.sync(group)
      else state.addAndWake(Field.filesSynced, 1)
    })
    await pg.exec('CREATE TABLE a(i int)')
    calls.length = 0
    isSlow = watching = true
    await pg.exec('CHECKPOINT')
    watching = false
    const told = calls.map(({ call, path }) => `${call} ${path === 'a group' ? path : basename(path)}`)
    t.same(
      told.filter((one) => one.startsWith('fsync')),
      ['fsync a group', 'fsync a group', 'fsync pg_control'],
      'nothing else is synced by itself',
    )
    t.equal(told.lastIndexOf('fsync a group') + 1, told.indexOf('write pg_control'))
    t.equal(groups[0]?.length, 1, 'what is there is synced at once')
    const [, group] = groups as [unknown, readonly string[]]
    t.ok(group.length > 3, `and what comes meanwhile together: ${group.length} files`)
    t.ok(
      group.some((path) => path.startsWith(paths.pgWal)),
      'the WAL of the checkpoint, too',
    )
    groups.length = calls.length = 0
    watching = true
    await pg.exec("SELECT pg_create_physical_replication_slot('late', true)")
    watching = false
    t.notOk(
      calls.some(({ path }) => basename(path) === 'pg_control'),
      'no control file depends on it',
    )
    t.equal(groups.length, 1, 'its files are being synced')
    durable.opened()
    t.equal(groups.length, 2, 'and the backend opens when they are')
    await pg.close()
  },
)

t.test(
  'what the control file says of anything but its checkpoint waits for nothing, and is synced with the rest',
  { skip: process.platform !== 'linux' && 'reads /proc' },
  async (t) => {
    const state = new SharedState()
    const groups: (readonly string[])[] = []
    calls.length = 0
    watching = true
    // It was shut down in order: it says "in production" and keeps its checkpoint.
    const { paths, durable, pg } = await starting(t, state, 'primary', (group) => {
      groups.push(group)
      state.addAndWake(Field.filesSynced, 1)
    })
    watching = false
    const ofControl = calls.filter(({ path }) => path === paths.controlFile).map(({ call }) => call)
    t.ok(ofControl.includes('write'))
    t.notOk(ofControl.includes('fsync'), 'not synced by itself')
    t.ok(
      groups.some((group) => group.includes(paths.controlFile)),
      'but by the time that the backend opens',
    )
    durable.opened()
    await pg.close()
  },
)

t.test(
  'a start after a crash syncs every file of the folder, without PostgreSQL opening each of them',
  async (t) => {
    const folder = await newInstance(t)
    const paths = instancePaths(folder)
    const start = async (synced: (paths: readonly string[]) => void) => {
      const state = new SharedState()
      const late = new LateSyncs(state, 'primary', (group) => {
        synced(group)
        state.addAndWake(Field.filesSynced, 1)
      })
      const guard = new WalGuard(paths.pgWal, state)
      const durable = new DurableFs(paths, WAL_SEGMENT_BYTES, guard, late, observer)
      return { durable, pg: await startBackend(paths, durable, await primary(), () => undefined) }
    }
    // It says "in production", as after a crash, for as long as it is not shut down.
    const first = await start(() => undefined)
    first.durable.opened()
    await first.pg.exec('CREATE TABLE a(i int)')
    const copy = await newInstance(t)
    fs.cpSync(paths.pgdata, instancePaths(copy).pgdata, { recursive: true, force: true })
    await first.pg.close()
    fs.rmSync(paths.pgdata, { recursive: true })
    fs.renameSync(instancePaths(copy).pgdata, paths.pgdata)
    const there = fs
      .readdirSync(paths.pgdata, { recursive: true })
      .map((name) => `${paths.pgdata}${sep}${String(name)}`)

    const synced = new Set<string>()
    const second = await start((group) => {
      for (const path of group) synced.add(path)
    })
    second.durable.opened()
    const gone = /postmaster\.pid|pg_internal\.init|postmaster\.opts/
    t.same(
      there.filter((path) => !synced.has(path) && !gone.test(path)),
      [],
      `${there.length} files and folders`,
    )
    t.same(
      (await second.pg.query("SELECT count(*) FROM pg_ls_dir('.') WHERE pg_ls_dir = 'base'")).rows,
      [{ count: 1 }],
      'who is open sees the folder as it is',
    )
    await second.pg.close()
  },
)

t.test('the checkpoint of a mirror waits for nothing until it is promoted', (t) => {
  const state = new SharedState()
  const { groups, sync } = slowDisk(state)
  const late = new LateSyncs(state, 'mirror', sync)
  for (let file = 0; file < 100; file++) late.add(`file ${file}`)
  late.beforeCheckpoint()
  t.same(
    groups.map(({ length }) => length),
    [1, 64, 1],
    'what is noted while a group is under way is the next one, but for a full group',
  )
  state.set(Field.promote, 1)
  late.beforeCheckpoint()
  t.same(
    groups.map(({ length }) => length),
    [1, 64, 1, 34],
  )
  t.end()
})

t.test('a file that cannot be synced ends it', async (t) => {
  const state = new SharedState()
  const late = new LateSyncs(state, 'mirror', () => {
    state.set(Field.fileSyncFailed, 1)
    state.addAndWake(Field.filesSynced, 1)
  })
  late.finish()
  late.add('a file')
  t.throws(() => late.finish(), FsyncFailed)
  t.throws(() => late.add('another'), FsyncFailed)
})

t.test('syncing files passes over those that are gone, and fails for what cannot be opened', async (t) => {
  const folder = await newInstance(t)
  await syncFiles([folder, instancePaths(folder).controlFile, `${folder}/gone`])
  await t.rejects(syncFiles([`${instancePaths(folder).controlFile}/below-a-file`]), { code: 'ENOTDIR' })
})
