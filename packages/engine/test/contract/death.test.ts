/** A backend that dies says so at once and leaves no promise hanging. */
import { rename } from 'node:fs/promises'
import t from 'tap'
import { EngineDied, instancePaths, type EnginePort } from '@mirabelle/engine'
import { engineOn, newPrimary, query, run, value } from '../support/kit.ts'

function deathOf(engine: EnginePort): Promise<Error> {
  return new Promise((resolve) => {
    engine.onDeath = resolve
  })
}

t.test(
  'PostgreSQL that cannot write WAL dies: what ran and what waited is rejected, the owner is told why',
  async (t) => {
    const { engine, folder } = await newPrimary(t)
    await run(engine, 'CREATE TABLE a(i int, b text)')
    const death = deathOf(engine)
    const { pgWal } = instancePaths(folder)
    await rename(pgWal, `${pgWal}.gone`)
    const running = engine.submit(
      query("INSERT INTO a SELECT g, repeat('x', 200) FROM generate_series(1, 50000) g"),
    )
    const waiting = engine.submit(query('SELECT 1'))
    const [first, second] = await Promise.allSettled([running, waiting])
    for (const one of [first, second]) t.match(one, { status: 'rejected', reason: { code: 'ENGINE_DIED' } })
    const error = await death
    t.ok(error instanceof EngineDied)
    t.match(error.message, /PANIC|pg_wal/)
    await t.rejects(engine.submit(query('SELECT 1')), { code: 'ENGINE_DIED' })
    await t.rejects(engine.syncWal(), { code: 'ENGINE_DIED' })
    await rename(`${pgWal}.gone`, pgWal)
    await engine.stop('immediate')
    await engine.startPrimary()
    await run(engine, 'INSERT INTO a VALUES (1)')
  },
)

t.test('a failed fsync of WAL is final', async (t) => {
  const { engine, folder } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int)')
  const death = deathOf(engine)
  const { pgWal } = instancePaths(folder)
  await rename(pgWal, `${pgWal}.gone`)
  await t.rejects(engine.syncWal())
  t.match(await death, { code: 'ENGINE_DIED', message: /could not be made durable/ })
  await t.rejects(engine.syncWal(), { code: 'ENGINE_DIED' })
  await rename(`${pgWal}.gone`, pgWal)
})

t.test(
  'an error of a request that must succeed ends PostgreSQL before anything behind it runs',
  async (t) => {
    const { engine, folder } = await newPrimary(t)
    await run(engine, 'CREATE TABLE a(i int)')
    const death = deathOf(engine)
    const answers = await Promise.allSettled([
      engine.submit(query("COMMIT PREPARED 'nobody'", { mustSucceed: true })),
      engine.submit(query('INSERT INTO a VALUES (1)')),
    ])
    for (const one of answers) t.match(one, { status: 'rejected', reason: { code: 'ENGINE_DIED' } })
    t.match(await death, { code: 'ENGINE_DIED', message: /must succeed has failed.*nobody/s })
    await engine.stop('immediate')
    const again = engineOn(t, folder)
    await again.startPrimary()
    t.equal(await value(again, 'SELECT count(*) FROM a'), '0')
  },
)
