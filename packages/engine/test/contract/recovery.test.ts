/** What PostgreSQL in PGlite keeps over crashes and restarts. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { lockHolder } from '@mirabelle/engine'
import { engineOn, newInstance, newPrimary, run, value } from '../support/kit.ts'

const INSERTER = fileURLToPath(new URL('../support/inserter.mjs', import.meta.url))

/** Starts the inserting child, kills it after `count` acknowledgements, and gives the acknowledged numbers. */
async function insertUntilKilled(folder: string, from: number, count: number): Promise<number[]> {
  const child: ChildProcess = spawn(process.execPath, [INSERTER, folder, String(from)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (more: string) => {
    text += more
    if (text.split('\n').length > count) child.kill('SIGKILL')
  })
  await once(child, 'close')
  // The last line may be cut: it was not acknowledged to anybody.
  return text.split('\n').slice(0, -1).map(Number)
}

t.test(
  'kill -9 under inserts and checkpoints loses nothing that was acknowledged, three times over',
  async (t) => {
    const folder = await newInstance(t)
    const acknowledged = new Set<number>()
    for (const round of [0, 1, 2]) {
      for (const i of await insertUntilKilled(folder, round * 1_000_000, 700)) acknowledged.add(i)
      t.equal(await lockHolder(folder), undefined, 'the lock died with its process')
      const engine = engineOn(t, folder)
      await engine.startPrimary()
      const kept = new Set((await run(engine, 'SELECT i FROM acked')).rows.map((row) => Number(row[0])))
      t.same(
        [...acknowledged].filter((i) => !kept.has(i)),
        [],
      )
      await engine.stop('immediate')
    }
    t.ok(acknowledged.size >= 2100)
  },
)

t.test('prepared transactions survive a crash of the primary', async (t) => {
  const { engine, folder } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int)')
  await run(engine, "BEGIN; INSERT INTO a VALUES (1); PREPARE TRANSACTION 'g'")
  await engine.stop('immediate')
  const again = engineOn(t, folder)
  await again.startPrimary()
  t.equal(await value(again, 'SELECT gid FROM pg_prepared_xacts'), 'g')
  await run(again, "COMMIT PREPARED 'g'")
  t.equal(await value(again, 'SELECT count(*) FROM a'), '1')
})

t.test('a physical replication slot keeps WAL, can be advanced, and survives a restart', async (t) => {
  const { engine, folder } = await newPrimary(t)
  await run(engine, "SELECT pg_create_physical_replication_slot('mirror', true)")
  const first = await value(engine, "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'mirror'")
  t.match(first, /^[0-9A-F]+\/[0-9A-F]+$/)
  await run(engine, 'CREATE TABLE a AS SELECT generate_series(1, 50000) i')
  await run(engine, "SELECT pg_replication_slot_advance('mirror', pg_current_wal_flush_lsn())")
  const second = await value(
    engine,
    "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'mirror'",
  )
  t.not(second, first)
  await run(engine, 'CHECKPOINT')
  await engine.stop('fast')
  const again = engineOn(t, folder)
  await again.startPrimary()
  t.equal(
    await value(again, "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'mirror'"),
    second,
  )
})

t.test(
  'tables that the template made in pg_catalog are read without a schema; users cannot add more',
  async (t) => {
    const { engine } = await newPrimary(t)
    t.equal(await value(engine, 'SELECT note FROM engine_test_catalog'), 'boot')
    await run(engine, "UPDATE engine_test_catalog SET note = 'changed'")
    await t.rejects(run(engine, 'CREATE TABLE pg_catalog.more(i int)'), /42501/)
  },
)

t.test('SET ROLE and privileges work as in any PostgreSQL', async (t) => {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE ROLE alice')
  await run(engine, 'CREATE TABLE secret(i int)')
  await run(engine, 'SET ROLE alice')
  await t.rejects(run(engine, 'SELECT * FROM secret'), /42501/)
  await run(engine, 'RESET ROLE')
  await run(engine, 'SELECT * FROM secret')
})

t.test('an engine starts again in the same process after each kind of stop', async (t) => {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int)')
  await engine.stop('fast')
  t.equal((await engine.startPrimary()).generation, 2)
  await run(engine, 'INSERT INTO a VALUES (1)')
  await engine.stop('immediate')
  await engine.startPrimary()
  t.equal(await value(engine, 'SELECT count(*) FROM a'), '1')
  await engine.stop('fast')
  await engine.stop('fast')
})
