import { copyFile, mkdir, rm } from 'node:fs/promises'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parseLsn } from '@mirabelle/messages'
import { walFileName } from '@mirabelle/wal'
import {
  belongsInBackup,
  instancePaths,
  listBackup,
  WAL_SEGMENT_BYTES,
  writeBackupLabel,
  type WalChunk,
} from '@mirabelle/engine'
import { engineOn, newPrimary, run, storeWal, temporaryFolder, value } from './support/kit.ts'

t.test('what belongs into a backup', (t) => {
  for (const path of [
    'base/5/1259',
    'global/pg_control',
    'PG_VERSION',
    'pg_wal',
    'pg_wal/archive_status',
    'pg_xact/0000',
    'pg_twophase/00000001',
  ]) {
    t.ok(belongsInBackup(path), path)
  }
  for (const path of [
    'postmaster.pid',
    'pg_wal/000000010000000000000001',
    'pg_replslot/mirror/state',
    'recovery.signal',
    'backup_label',
    'base/pgsql_tmp/x',
    'base/5/pg_internal.init',
  ]) {
    t.notOk(belongsInBackup(path), path)
  }
  t.end()
})

t.test('an online base backup, taken while rows come in, becomes a mirror that has them all', async (t) => {
  const { engine, folder } = await newPrimary(t)
  const target = join(await temporaryFolder(t), 'mirror')
  const to = instancePaths(target)
  await mkdir(to.pgdata, { recursive: true })
  await mkdir(to.receivedWal)
  await run(engine, 'CREATE TABLE a(i int PRIMARY KEY, b text)')
  await run(engine, "INSERT INTO a SELECT g, repeat('x', 200) FROM generate_series(1, 20000) g")
  const begin = parseLsn((await value(engine, "SELECT pg_backup_start('test', true)")) as string)
  const mirror = engineOn(t, target)
  const first = walFileName(1, begin, WAL_SEGMENT_BYTES)
  const before = engine.flushLsn()
  let end = before
  engine.onWal = (chunk: WalChunk) => {
    storeWal(target, chunk)
    end = chunk.end
  }
  // WAL from the backup's beginning on: its first segment, then what is written.
  for (let at = begin - (begin % WAL_SEGMENT_BYTES); at < before; at += WAL_SEGMENT_BYTES) {
    const name = walFileName(1, at, WAL_SEGMENT_BYTES)
    copyFileSync(join(instancePaths(folder).pgWal, name), join(to.receivedWal, name))
  }
  t.ok(first.length === 24)
  let next = 20_000
  const entries = await listBackup(instancePaths(folder).pgdata)
  t.equal(entries.at(-1)?.path, 'global/pg_control')
  for (const [index, entry] of entries.entries()) {
    if (entry.kind === 'folder') await mkdir(join(to.pgdata, entry.path))
    else await copyFile(join(instancePaths(folder).pgdata, entry.path), join(to.pgdata, entry.path))
    if (index % 100 === 0)
      await run(
        engine,
        `INSERT INTO a VALUES (${++next}, 'while copying'); UPDATE a SET b = 'y' WHERE i % 97 = ${index % 97}`,
      )
  }
  await writeBackupLabel(
    to.pgdata,
    (await value(engine, 'SELECT labelfile FROM pg_backup_stop(false)')) as string,
  )
  await run(engine, `INSERT INTO a VALUES (${++next}, 'after')`)
  const expected = await value(
    engine,
    "SELECT count(*) || ' ' || md5(string_agg(i || b, ',' ORDER BY i)) FROM a",
  )
  await engine.stop('immediate')
  await mirror.startMirror({ timeline: 1, receivedEnd: end })
  t.equal((await mirror.promote()).timeline, 2)
  t.equal(
    await value(mirror, "SELECT count(*) || ' ' || md5(string_agg(i || b, ',' ORDER BY i)) FROM a"),
    expected,
  )
  await rm(to.receivedWal, { recursive: true })
})
