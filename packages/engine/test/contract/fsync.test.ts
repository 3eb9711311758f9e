/** What reaches the disk, and in which order: PostgreSQL runs here in this thread, with the system calls recorded. */
import fs, { readlinkSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { basename, sep } from 'node:path'
import t from 'tap'
import { instancePaths, WAL_SEGMENT_BYTES } from '@mirabelle/engine'
import { SharedState } from '../../src/shared/shared-state.ts'
import { compiledPostgres } from '../../src/host/postgres-wasm.ts'
import { startBackend } from '../../src/worker/backend.ts'
import { DurableFs, type FsObserver } from '../../src/worker/durable-fs.ts'
import { WalGuard } from '../../src/worker/wal-guard.ts'
import { newInstance } from '../support/kit.ts'

interface Call {
  readonly call: 'fsync' | 'fdatasync' | 'write'
  readonly path: string
}

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
  fs.writeSync = ((...args: Parameters<typeof writeSync>) => {
    note('write', args[0])
    return writeSync(...args)
  }) as typeof writeSync
  syncBuiltinESMExports()
  t.teardown(() => {
    Object.assign(fs, { fsyncSync, fdatasyncSync, writeSync })
    syncBuiltinESMExports()
  })
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
    const failed: FsObserver['syncFailed'] = (error) => {
      throw error
    }
    const durable = new DurableFs(paths, WAL_SEGMENT_BYTES, guard, {
      walWritten() {},
      walRead() {},
      dataTouched() {},
      syncFailed: failed,
    })
    const pg = await startBackend(
      paths,
      durable,
      { role: 'primary', settings: [], wasm: await compiledPostgres() },
      () => undefined,
    )
    durable.phase = 'open'
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
    let dirty = false
    for (const one of calls) {
      if (isWal(one)) dirty = one.call === 'write'
      else if (one.call === 'write' && dirty) t.fail(`${one.path} was written before the WAL`)
    }
    await pg.close()
  },
)
