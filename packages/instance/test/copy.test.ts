import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Connection } from '@mirabelle/runtime'
import { queryMessage } from '../src/index.ts'
import { slotPositionSql } from '../src/maintenance/slot.ts'
import {
  caughtUp,
  CLUSTER,
  clusterFolder,
  contentOf,
  realPorts,
  startInstance,
  unlessEnded,
  until,
  watchingCopies,
  type Started,
} from './support/real-pair.ts'

const CHECK = `SELECT count(*), sum(id), sum(length(pad)), sum(n) FROM t`
const asMirror = (port: number) => ({ dbid: 2, port })

async function fill(primary: Started, rows: number): Promise<void> {
  await primary.sql('CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, pad text)')
  await primary.sql(`INSERT INTO t SELECT g, 0, repeat('x', 200) FROM generate_series(1, ${rows}) g`)
  // Sets the hint bits, so that reading changes no page later.
  await primary.sql('VACUUM (FREEZE, ANALYZE) t')
}

async function promote(mirror: Started): Promise<void> {
  mirror.actor.requestPromote()
  await unlessEnded(
    mirror,
    until(
      () => mirror.actor.roleState,
      (state) => state === 'primary',
      'promotion',
    ),
  )
}

/** Writes of all kinds until `stop` is called: rows change, tables come, shrink and go. */
function write(primary: Started): { stop: () => Promise<number> } {
  let going = true
  const rounds = (async () => {
    let round = 0
    for (; going; round++) {
      await primary.sql(`INSERT INTO t VALUES (${1_000_000 + round}, 0, repeat('y', 300))`)
      await primary.sql(`UPDATE t SET n = n + 1 WHERE id % 500 = ${round % 500}`)
      await primary.sql(`CREATE TABLE passing${round} AS SELECT * FROM t LIMIT 500`)
      if (round > 2) await primary.sql(`DROP TABLE passing${round - 2}`)
      if (round % 5 === 0) await primary.sql(`TRUNCATE passing${round}`)
      if (round % 7 === 0) await primary.sql('VACUUM t')
    }
    return round
  })()
  return {
    stop: () => {
      going = false
      return rounds
    },
  }
}

/** Primary 2 with rows and its mirror 3; then 2 writes what 3 never gets, 2 dies, 3 is promoted and writes on. */
async function divergedPair(base: string, rows: number): Promise<{ successor: Started; lost: string }> {
  const primary = startInstance(base, 2, 'p', { dbid: 3, port: 1 })
  await primary.started
  await fill(primary, rows)
  const mirror = startInstance(base, 3, 'm', asMirror(primary.actor.port))
  await mirror.started
  await caughtUp(primary, mirror)
  await mirror.actor.stop('immediate')
  await primary.sql(`INSERT INTO t SELECT g, 7, repeat('l', 200) FROM generate_series(5000001, 5003000) g`)
  await primary.sql('UPDATE t SET n = 9 WHERE id < 100')
  await primary.sql('CREATE TABLE lost AS SELECT * FROM t LIMIT 1000')
  await primary.engine.syncWal()
  await primary.sql('CHECKPOINT')
  const lost = (await primary.sql(`SELECT pg_relation_filepath('lost')`))[0]?.[0] as string
  await primary.actor.stop('immediate')
  const successor = startInstance(base, 3, 'm', null)
  await successor.started
  await promote(successor)
  await successor.sql('UPDATE t SET n = 1 WHERE id BETWEEN 1000 AND 1100')
  return { successor, lost }
}

t.test('an empty folder becomes a mirror by a full copy while the primary writes', async (t) => {
  const { base, remove } = await clusterFolder([2], [3])
  t.teardown(remove)
  const primary = startInstance(base, 2, 'p', { dbid: 3, port: 1 })
  await primary.started
  t.teardown(() => primary.actor.stop('immediate'))
  await fill(primary, 20_000)
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
})

t.test(
  'a killed primary whose WAL goes beyond the fork comes back by itself, with only what differs sent',
  async (t) => {
    const { base, remove } = await clusterFolder([2, 3])
    t.teardown(remove)
    const { successor, lost } = await divergedPair(base, 60_000)
    t.teardown(() => successor.actor.stop('immediate'))
    t.ok(existsSync(join(base, 'dbid2', 'pgdata', lost)))

    const back = startInstance(base, 2, 'm', { dbid: 3, port: successor.actor.port })
    t.teardown(() => back.actor.stop('immediate'))
    await unlessEnded(back, back.started)
    await unlessEnded(back, caughtUp(successor, back))
    t.equal(back.actor.timeline, 2)
    t.notOk(existsSync(join(back.datadir, 'pgdata', lost)), 'a table that was never told is gone')

    const kept = await readdir(join(back.datadir, 'diverged'))
    t.equal(kept.length, 1, 'diverged WAL is kept')
    t.match(kept[0], /^1-0_[0-9A-F]+$/, 'under its timeline and end')
    t.ok((await readdir(join(back.datadir, 'diverged', kept[0] as string, 'pg_wal'))).length > 0)

    await successor.sql('INSERT INTO t VALUES (0)')
    await caughtUp(successor, back)
    const expected = await successor.sql(CHECK)
    await successor.actor.stop('immediate')
    await promote(back)
    t.same(await back.sql(CHECK), expected)
    t.same(await back.sql(`SELECT to_regclass('lost')`), [[null]])
    t.equal(back.actor.timeline, 3)
  },
)

t.test('a differential copy sends the blocks that differ, and little else', async (t) => {
  const { base, remove } = await clusterFolder([2, 3])
  t.teardown(remove)
  const { successor } = await divergedPair(base, 60_000)
  t.teardown(() => successor.actor.stop('immediate'))
  const received = countBytes()
  const ports = watchingCopies(realPorts('dbid2'), received.watch)
  const back = startInstance(base, 2, 'm', { dbid: 3, port: successor.actor.port }, 'differential', ports)
  t.teardown(() => back.actor.stop('immediate'))
  await back.started
  await unlessEnded(back, caughtUp(successor, back))
  const all = [...(await contentOf(join(successor.datadir, 'pgdata')))].filter(
    ([path]) => !path.startsWith('pg_wal'),
  )
  const total = all.reduce((sum, [, bytes]) => sum + bytes.length, 0)
  t.ok(total > 30_000_000, `${total} bytes in all`)
  // 3,000 new rows (too long for the gaps in old pages) and some hundred changed ones, with their index entries.
  t.ok(received.bytes > 8192 && received.bytes < total / 5, `${received.bytes} bytes were sent`)
})

t.test(
  'a copy that is killed in the middle is completed by the next start, full or differential',
  async (t) => {
    const { base, remove } = await clusterFolder([2], [3])
    t.teardown(remove)
    const primary = startInstance(base, 2, 'p', { dbid: 3, port: 1 })
    await primary.started
    t.teardown(() => primary.actor.stop('immediate'))
    await fill(primary, 100_000)
    const datadir = join(base, 'dbid3')
    for (const recovery of ['full', 'differential']) {
      const script = fileURLToPath(new URL('./support/copy-child.ts', import.meta.url))
      const args = ['--import=tsx', script, base, '3', '2', String(primary.actor.port), recovery]
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
      const exited = once(child, 'exit')
      await until(
        () =>
          existsSync(join(datadir, 'state', 'copy-begun.json')) &&
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
      await t.rejects(startInstance(base, 3, 'p', asMirror(primary.actor.port)).started, {
        code: 'datadir.broken',
      })
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
  await fill(primary, 20_000)
  let connections = 0
  const ports = watchingCopies(realPorts('dbid3'), (connection) => {
    connections++
    const { request } = connection
    let requests = 0
    connection.request = (...args) => {
      requests++
      if (connections <= 2 && requests === connections * 300) connection.close()
      return request.apply(connection, args) as never
    }
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

function countBytes() {
  const counted = {
    bytes: 0,
    watch: (connection: Connection) => {
      const { request } = connection
      connection.request = async (...args) => {
        const reply = await request.apply(connection, args)
        if (reply.type === 'copy.bytes') counted.bytes += reply.bytes.length
        return reply as never
      }
    },
  }
  return counted
}
