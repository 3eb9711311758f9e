/** What reaches the disk, and in which order: PostgreSQL runs here in this thread, with the system calls recorded. */
import { basename, sep } from 'node:path'
import t from 'tap'
import { instancePaths, WAL_SEGMENT_BYTES } from '@mirabelle/engine'
import { Field, SharedState } from '../../src/shared/shared-state.ts'
import { parseSegmentName } from '../../src/layout.ts'
import { startBackend } from '../../src/worker/backend.ts'
import { DurableFs } from '../../src/worker/durable-fs.ts'
import { LateSyncs } from '../../src/worker/late-syncs.ts'
import { WalGuard } from '../../src/worker/wal-guard.ts'
import { newInstance } from '../support/kit.ts'
import {
  calls,
  isWal,
  observer,
  PAGE,
  primary,
  record,
  whileWatched,
  type Call,
} from '../support/recorded-calls.ts'

t.test(
  'fsync and the order of WAL and data',
  { skip: process.platform !== 'linux' && 'reads /proc' },
  async (t) => {
    record(t)
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

    await whileWatched(() => pg.exec("INSERT INTO a SELECT g, 'x' FROM generate_series(1, 100) g"))
    t.ok(
      calls.some((one) => one.call === 'write' && isWal(one)),
      'a commit writes WAL',
    )
    t.notOk(
      calls.some((one) => one.call !== 'write' && isWal(one)),
      'and leaves its fsync to the main thread',
    )

    await whileWatched(() => pg.exec('CHECKPOINT'))
    const dataSyncs = calls.filter((one) => one.call === 'fsync' && !isWal(one))
    t.ok(dataSyncs.length >= 3, `CHECKPOINT fsyncs data files (${dataSyncs.length})`)
    t.ok(dataSyncs.some((one) => basename(one.path) === 'pg_control'))
    const firstData = calls.findIndex((one) => !isWal(one))
    const firstWalSync = calls.findIndex((one) => one.call === 'fdatasync' && isWal(one))
    t.ok(
      firstWalSync !== -1 && firstWalSync < firstData,
      'WAL is made durable before the first data page is written',
    )

    await whileWatched(() =>
      pg.exec("INSERT INTO a SELECT g, repeat('x', 1000) FROM generate_series(1, 30000) g"),
    )
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
      if (path.includes(`${sep}pg_wal${sep}`) && (call === 'write' || call === 'fdatasync')) {
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

    // What is cut off or deleted is as good as written: the WAL that says so comes first.
    await pg.exec(
      'CREATE TABLE gone AS SELECT * FROM a LIMIT 1000; CREATE TABLE short AS SELECT * FROM a LIMIT 5000',
    )
    await pg.exec('CHECKPOINT')
    for (const [what, sql] of [
      ['TRUNCATE', 'TRUNCATE gone'],
      ['DROP', 'DROP TABLE gone'],
      ['VACUUM', 'VACUUM short'],
    ] as const) {
      if (what === 'VACUUM') await pg.exec('DELETE FROM short WHERE i > 50')
      await whileWatched(() => pg.exec(sql))
      const isLoss = ({ call, path }: Call): boolean =>
        (call === 'truncate' || call === 'unlink') && path.includes(`${sep}base${sep}`)
      const losses = calls.flatMap((one, index) => (isLoss(one) ? [index] : []))
      t.ok(losses.length > 0, `${what} cuts a file off, or deletes it`)
      for (const loss of losses) {
        const before = calls.slice(0, loss).filter(isWal)
        t.ok(before.length > 0 && before.at(-1)?.call !== 'write', `${what}: WAL is durable before that`)
      }
    }
    await pg.close()
  },
)
