import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Connection } from '@mirabelle/runtime'
import { queryMessage } from '../src/index.ts'
import { ensureSlot, slotPositionSql } from '../src/maintenance/slot.ts'
import { asMirror, CHECK, fill, promote, write } from './support/copy-kit.ts'
import {
  caughtUp,
  CLUSTER,
  clusterFolder,
  realPorts,
  startInstance,
  unlessEnded,
  until,
  watchingCopies,
  watchRequests,
  type Started,
} from './support/real-pair.ts'

t.setTimeout(300_000)

t.test('an empty folder becomes a mirror by a full copy while the primary writes', async (t) => {
  const { base, remove } = await clusterFolder([2], [3])
  t.teardown(remove)
  const primary = startInstance(base, 2, 'p', { dbid: 3, port: 1 })
  await primary.started
  t.teardown(() => primary.actor.stop('immediate'))
  await fill(primary, 15_000)
  const writer = write(primary)

  const mirror = startInstance(base, 3, 'm', asMirror(primary.actor.port))
  t.teardown(() => mirror.actor.stop('immediate'))
  await mirror.started
  t.equal(mirror.actor.roleState, 'copying')
  await unlessEnded(
    mirror,
    until(
      () => mirror.actor.roleState,
      (state) => state === 'mirror',
      'the copy ends',
    ),
  )
  t.ok((await writer.stop()) > 0, 'the primary wrote meanwhile')
  await caughtUp(primary, mirror)
  t.notOk((await readdir(mirror.datadir)).includes('diverged'))
  t.notOk(existsSync(join(mirror.datadir, 'state', 'copy-begun.json')))
  const expected = await primary.sql(CHECK)

  await t.test('a mirror that is started again goes on from its base', async () => {
    await mirror.actor.stop('immediate')
    await primary.sql('INSERT INTO t VALUES (0)')
  })
  const again = startInstance(base, 3, 'm', asMirror(primary.actor.port))
  t.teardown(() => again.actor.stop('immediate'))
  await again.started
  t.equal(again.actor.roleState, 'mirror', 'without another copy')
  await caughtUp(primary, again)

  await primary.actor.stop('immediate')
  await promote(again)
  await again.sql('DELETE FROM t WHERE id = 0')
  t.same(await again.sql(CHECK), expected, 'all rows, checksums on')
  t.same(await again.sql('SELECT count(*) FROM pg_prepared_xacts'), [['0']])

  await t.test('the slot is made once, however many come to it at the same time', async (t) => {
    await again.sql('SELECT pg_drop_replication_slot(slot_name) FROM pg_get_replication_slots()')
    const stands = await Promise.all([1, 2, 3].map(() => ensureSlot((sql) => again.sql(sql))))
    t.ok(stands.every((lsn) => lsn !== undefined && lsn === stands[0]))
  })
})

t.test(
  'a copy that is killed in the middle is completed by the next start, full or differential',
  async (t) => {
    const { base, remove } = await clusterFolder([2], [3])
    t.teardown(remove)
    const primary = startInstance(base, 2, 'p', { dbid: 3, port: 1 })
    await primary.started
    t.teardown(() => primary.actor.stop('immediate'))
    await fill(primary, 40_000)
    const datadir = join(base, 'dbid3')
    for (const recovery of ['full', 'differential']) {
      const script = fileURLToPath(new URL('./support/copy-child.ts', import.meta.url))
      const args = ['--import=tsx', script, base, '3', '2', String(primary.actor.port), recovery]
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      const exited = once(child, 'exit')
      const spawnedAt = Date.now()
      const mark = join(datadir, 'state', 'copy-begun.json')
      await until(
        () =>
          // The one of the copy before says nothing of this one.
          (statSync(mark, { throwIfNoEntry: false })?.mtimeMs ?? 0) >= spawnedAt &&
          existsSync(join(datadir, 'pgdata', 'base')),
        (begun) => begun,
        `the ${recovery} copy begins`,
      )
      child.kill('SIGKILL')
      await exited
      t.notOk(
        existsSync(join(datadir, 'pgdata', 'global', 'pg_control')),
        `${recovery}: nothing can start on it`,
      )
      t.ok(existsSync(join(datadir, 'state', 'copying.json')))
      const refused = startInstance(base, 3, 'p', asMirror(primary.actor.port))
      await t.rejects(refused.started, { code: 'datadir.broken' })
      await refused.ended // with the lock of the folder given back
    }

    const mirror = startInstance(base, 3, 'm', asMirror(primary.actor.port), 'incremental')
    t.teardown(() => mirror.actor.stop('immediate'))
    await mirror.started
    await unlessEnded(mirror, caughtUp(primary, mirror))
    const expected = await primary.sql(CHECK)
    await primary.actor.stop('immediate')
    await promote(mirror)
    t.same(await mirror.sql(CHECK), expected)
  },
)

t.test('a connection that breaks again and again delays a copy, no more', async (t) => {
  const { base, remove } = await clusterFolder([2], [3])
  t.teardown(remove)
  const primary = startInstance(base, 2, 'p', { dbid: 3, port: 1 })
  await primary.started
  t.teardown(() => primary.actor.stop('immediate'))
  await fill(primary, 5_000)
  let connections = 0
  const ports = watchingCopies(realPorts('dbid3'), (connection) => {
    connections++
    let requests = 0
    watchRequests(connection, {
      before: () => {
        requests++
        if (connections <= 2 && requests === connections * 30) connection.close()
      },
    })
  })
  const mirror = startInstance(base, 3, 'm', asMirror(primary.actor.port), 'full', ports)
  t.teardown(() => mirror.actor.stop('immediate'))
  await mirror.started
  await unlessEnded(mirror, caughtUp(primary, mirror))
  t.equal(connections, 3)
})

t.test('the sender: one backup at a time, only listed files, WAL kept, no backup left behind', async (t) => {
  const { base, remove } = await clusterFolder([2])
  t.teardown(remove)
  const primary = startInstance(base, 2, 'p', null)
  await primary.started
  t.teardown(() => primary.actor.stop('immediate'))
  await fill(primary, 1000)
  const { port } = primary.actor
  const { network } = realPorts('asker')
  const connect = async (): Promise<Connection> => {
    const connection = await network.connect(
      { addresses: ['127.0.0.1'], port },
      { clusterId: CLUSTER, kind: 'instance', dbid: 3, content: 0, name: 'asker', purpose: 'copy', epoch: 1 },
      { timeoutMs: 5_000, silenceTimeoutMs: 0 },
    )
    connection.setHandlers({ onMessage: () => undefined, onClose: () => undefined })
    return connection
  }
  const begin = (connection: Connection, more: { content?: number; epoch?: number } = {}) =>
    connection.request(
      { type: 'copy.begin', dbid: 3, content: 0, epoch: 1, checkpoint: 'fast', ...more },
      30_000,
    )
  const first = await connect()
  const second = await connect()
  await t.rejects(begin(second, { content: 5 }), { code: 'wrong.content' })
  await t.rejects(begin(second, { epoch: 2 }), { code: 'epoch.stale' })
  const begun = await begin(first)
  t.equal(begun.files.at(-1)?.[0], 'global/pg_control', 'the control file is listed last')
  t.notOk(begun.files.some(([path]) => /^pg_wal\/.*[0-9A-F]{24}|fts_probe|postmaster/.test(path)))
  await t.rejects(begin(second), { code: 'copy.busy' })
  await t.rejects(begin(first), { code: 'message.bad' })

  const { copyId } = begun
  const read = (path: string, length = 8192, id = copyId) =>
    first.request({ type: 'copy.read', copyId: id, path, offset: 0, length }, 5_000)
  t.equal((await read('PG_VERSION')).bytes.toString(), '18\n')
  for (const path of [
    '../instance.json',
    'pg_wal/../PG_VERSION',
    'postmaster.pid',
    '/etc/passwd',
    'pg_wal/x',
  ])
    await t.rejects(read(path), { code: 'message.bad' }, path)
  await t.rejects(read('PG_VERSION', 5 * 1024 * 1024), { code: 'message.bad' })
  await t.rejects(read('PG_VERSION', 8192, 'another'), { code: 'message.bad' })

  // Nobody but the copy needs WAL here: there is no mirror.
  for (let i = 0; i < 3; i++) {
    await primary.sql(`UPDATE t SET n = n + 1, pad = repeat('z', 700)`)
    await primary.sql('SELECT pg_switch_wal()')
    t.equal(await primary.actor.primary?.checkpoint(), true)
  }
  const slotLsn = (
    await primary.sql(`SELECT restart_lsn <= '0/${begun.startLsn.toString(16)}' FROM (${slotPositionSql}) s`)
  )[0]
  t.same(slotLsn, ['t'], 'the slot stays behind the beginning of the backup')

  first.close()
  const again = await until(
    () => begin(second).catch(() => undefined),
    (answer) => answer !== undefined,
    'the backup of the one that left is ended',
  )
  const { generation } = await primary.engine.submit({
    bytes: queryMessage('SELECT 1'),
    syncs: 1,
    tag: 900_000_000,
  })
  let tag = 900_000_000
  await until(
    () => restartBackend(primary, ++tag),
    (now) => now > generation,
    'PostgreSQL is restarted',
  )
  await t.rejects(
    second.request({ type: 'copy.end', copyId: again?.copyId ?? '' }, 60_000),
    { code: 'not.ready', message: /restarted during the backup/ },
    'a restart of PostgreSQL ends the backup',
  )
  second.close()
  const third = await connect()
  const last = await until(
    () => begin(third).catch(() => undefined),
    (answer) => answer !== undefined,
    'another can begin',
  )
  const ended = await third.request({ type: 'copy.end', copyId: last?.copyId ?? '' }, 30_000)
  t.match(ended.backupLabel, /START WAL LOCATION/)
  t.ok(ended.endLsn > (last?.startLsn ?? 0))
  t.same(await primary.sql('SELECT count(*) FROM t'), [['1000']])
})

/** Cancels a statement that does no input or output, which PostgreSQL cannot end by itself. Resolves with the generation after it. */
async function restartBackend(primary: Started, tag: number): Promise<number> {
  const numbers = 'generate_series(1, 1000)'
  const loop = `SELECT count(*) FROM ${numbers} a, ${numbers} b, ${numbers} c, ${numbers} d`
  const endless = primary.engine.submit({ bytes: queryMessage(loop), syncs: 1, tag })
  // It has to run before it is cancelled, else it is just taken out of the queue.
  const soon = new Promise((resolve) => setTimeout(resolve, 50))
  await Promise.race([soon, endless.catch(() => undefined)])
  primary.engine.cancel(tag, 10)
  await endless.catch(() => undefined)
  const bytes = queryMessage('SELECT 1')
  return (await primary.engine.submit({ bytes, syncs: 1, tag: -tag })).generation
}
