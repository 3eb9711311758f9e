/** The fsyncs of a start and of a promotion: put off, but not beyond what counts on them. PostgreSQL runs here in this thread, with the system calls recorded. */
import fs from 'node:fs'
import { basename, sep } from 'node:path'
import t from 'tap'
import { instancePaths, WAL_SEGMENT_BYTES } from '@mirabelle/engine'
import { syncFiles } from '../../src/host/sync-files.ts'
import { Field, SharedState } from '../../src/shared/shared-state.ts'
import { parseSegmentName } from '../../src/layout.ts'
import { startBackend } from '../../src/worker/backend.ts'
import { DurableFs } from '../../src/worker/durable-fs.ts'
import { LateSyncs } from '../../src/worker/late-syncs.ts'
import { FsyncFailed, WalGuard } from '../../src/worker/wal-guard.ts'
import { newInstance } from '../support/kit.ts'
import {
  calls,
  LazyDisk,
  observer,
  primary,
  record,
  whileWatched,
  type Call,
} from '../support/recorded-calls.ts'

record(t)

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
    isSlow = true
    await whileWatched(() => pg.exec('CHECKPOINT'))
    const told = calls.map(({ call, path }) => `${call} ${path === 'a group' ? path : basename(path)}`)
    t.same(
      told.filter((one) => one.startsWith('fsync')),
      ['fsync a group', 'fsync replorigin_checkpoint.tmp', 'fsync a group', 'fsync pg_control'],
      'nothing else is synced by itself, but for a file that gets its name',
    )
    t.equal(told.lastIndexOf('fsync a group') + 1, told.indexOf('write pg_control'))
    t.equal(groups[0]?.length, 1, 'what is there is synced at once')
    const [, group] = groups as [unknown, readonly string[]]
    t.ok(group.length > 3, `and what comes meanwhile together: ${group.length} files`)
    t.ok(
      group.some((path) => path.startsWith(paths.pgWal)),
      'the WAL of the checkpoint, too',
    )
    groups.length = 0
    await whileWatched(() => pg.exec("SELECT pg_create_physical_replication_slot('late', true)"))
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
    // It was shut down in order: it says "in production" and keeps its checkpoint.
    const { paths, durable, pg } = await whileWatched(() =>
      starting(t, state, 'primary', (group) => {
        groups.push(group)
        state.addAndWake(Field.filesSynced, 1)
      }),
    )
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
      const state = new LazyDisk(synced)
      const late = new LateSyncs(state, 'primary', (group) => state.ask(group))
      const guard = new WalGuard(paths.pgWal, state)
      const durable = new DurableFs(paths, WAL_SEGMENT_BYTES, guard, late, observer)
      return { durable, pg: await startBackend(paths, durable, await primary(), () => undefined) }
    }
    // It says "in production", as after a crash, for as long as it is not shut down.
    const first = await start(() => undefined)
    first.durable.opened()
    await first.pg.exec('CREATE TABLE a(i int); INSERT INTO a SELECT generate_series(1, 1000)')
    await first.pg.exec('CREATE TABLE b AS SELECT * FROM a; CHECKPOINT; DROP TABLE b')
    const copy = await newInstance(t)
    fs.cpSync(paths.pgdata, instancePaths(copy).pgdata, { recursive: true, force: true })
    await first.pg.close()
    fs.rmSync(paths.pgdata, { recursive: true })
    fs.renameSync(instancePaths(copy).pgdata, paths.pgdata)
    const there = fs
      .readdirSync(paths.pgdata, { recursive: true })
      .map((name) => `${paths.pgdata}${sep}${String(name)}`)

    const synced = new Set<string>()
    const second = await whileWatched(() =>
      start((group) => {
        for (const path of group) {
          synced.add(path)
          calls.push({ call: 'fsync', path })
        }
      }),
    )
    const isSegment = ({ path }: Call): boolean =>
      parseSegmentName(basename(path), WAL_SEGMENT_BYTES) !== undefined
    const firstChange = calls.findIndex(
      ({ call, path }) => call !== 'fsync' && path.includes(`${sep}base${sep}`),
    )
    t.ok(firstChange !== -1, 'replay changes files')
    const before = new Set(
      calls
        .slice(0, firstChange)
        .filter(isSegment)
        .map(({ path }) => path),
    )
    t.same(
      there.filter((path) => isSegment({ call: 'fsync', path }) && !before.has(path)),
      [],
      'before that the WAL that it replays is durable: a process that was killed had not made all of it so',
    )
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

t.test(
  'a promotion gives no file its name before what is in it is durable, but for segments that are empty yet',
  { skip: process.platform !== 'linux' && 'reads /proc' },
  async (t) => {
    const folder = await newInstance(t)
    const paths = instancePaths(folder)
    const state = new LazyDisk(() => undefined)
    const late = new LateSyncs(state, 'mirror', (group) => state.ask(group))
    const durable = new DurableFs(paths, WAL_SEGMENT_BYTES, new WalGuard(paths.pgWal, state), late, observer)
    state.set(Field.promote, 1)
    const nothingMore = 256
    durable.onRuntime = (module) => module._pgl_set_system_fn(module.addFunction(() => nothingMore, 'pi'))
    const how = { ...(await primary()), role: 'mirror' } as const
    const pg = await whileWatched(() => startBackend(paths, durable, how, () => undefined))
    durable.opened()
    const renames = calls.flatMap(({ call, path, to }, index) =>
      call === 'rename' ? [{ path, to: basename(to ?? ''), before: calls.slice(0, index) }] : [],
    )
    t.ok(
      renames.some(({ to }) => to === '00000002.history'),
      'a new timeline begins',
    )
    for (const { path, to, before } of renames) {
      // A cache, which is made anew when it cannot be read.
      if (parseSegmentName(to, WAL_SEGMENT_BYTES) !== undefined || to === 'pg_internal.init') continue
      t.equal(before.findLast((one) => one.path === path)?.call, 'fsync', to)
    }
    await pg.close()
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
