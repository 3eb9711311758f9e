/** Cancelling: by PostgreSQL's own interrupt where it calls out, else by a restart of the backend. */
import t from 'tap'
import type { EngineRequest } from '@mirabelle/engine'
import { ENDLESS, newPrimary, parse, query, run, value } from '../support/kit.ts'

/** A request that never ends, and a promise that it has begun. */
function spinning(): { request: EngineRequest; spins: Promise<void> } {
  let tell: () => void = () => undefined
  const spins = new Promise<void>((resolve) => {
    tell = resolve
  })
  return { request: query(ENDLESS, { onOutput: () => tell() }), spins }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

t.test('a statement that does file I/O is interrupted with 57014 and leaves nothing behind', async (t) => {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int, b text)')
  const long = query("INSERT INTO a SELECT g, repeat('y', 300) FROM generate_series(1, 5000000) g")
  const [result, next] = [engine.submit(long), engine.submit(query('INSERT INTO a VALUES (1)'))]
  await pause(300)
  engine.cancel(long.tag, 60_000)
  t.same(parse((await result).output).errors, ['57014'])
  t.same(parse((await next).output).errors, [])
  t.equal(await value(engine, 'SELECT count(*) FROM a'), '1')
  t.equal((await run(engine, 'SELECT 1')).result.generation, 1)
})

t.test(
  'one that never calls out is ended by a restart: what was done stays, what waited runs, WAL has no gap',
  async (t) => {
    const { engine } = await newPrimary(t)
    let end = 0
    engine.onWal = (chunk) => {
      if (end !== 0) t.equal(chunk.start, end)
      end = chunk.end
    }
    await run(engine, 'CREATE TABLE a(i int)')
    const before = engine.submit(query('INSERT INTO a VALUES (1)'))
    const { request, spins } = spinning()
    const spin = engine.submit(request)
    const after = engine.submit(query('INSERT INTO a VALUES (2)'))
    const inside = engine.submit(query('INSERT INTO a VALUES (3)', { inTransaction: true }))
    const spun = t.rejects(spin, { code: 'ENGINE_CANCELLED', sqlState: '57014', mayHaveCommitted: false })
    await spins
    engine.cancel(request.tag, 100)
    await spun
    t.equal((await before).generation, 1, 'it had finished before the restart, and its answer was kept')
    t.same(parse((await before).output).types, 'CZ')
    t.equal((await after).generation, 2)
    t.equal(parse((await inside).output).types, 'EZ', 'its transaction is gone')
    t.same((await run(engine, 'SELECT i FROM a ORDER BY i')).rows, [['1'], ['2']])
    t.ok(end >= (await before).lsn)
    t.ok((await engine.syncWal()) >= (await after).lsn)
  },
)

t.test('a request that has not begun is cancelled at once', async (t) => {
  const { engine } = await newPrimary(t)
  const { request: spin, spins } = spinning()
  const running = engine.submit(spin)
  const spun = t.rejects(running, { code: 'ENGINE_CANCELLED' })
  await spins
  const second = engine.submit(query('SELECT 1'))
  await pause(20)
  const waiting = query('SELECT 2')
  const cancelled = t.rejects(engine.submit(waiting), { code: 'ENGINE_CANCELLED', mayHaveCommitted: false })
  engine.cancel(waiting.tag, 60_000)
  await cancelled
  engine.cancel(spin.tag, 10)
  await spun
  t.same(parse((await second).output).rows, [['1']])
})

t.test('cancelling what is over does nothing to what runs', async (t) => {
  const { engine } = await newPrimary(t)
  const first = query('SELECT 1')
  await engine.submit(first)
  engine.cancel(first.tag, 0)
  t.equal(await value(engine, 'SELECT count(*) FROM generate_series(1, 300000)'), '300000')
})

t.test('stop ends a statement that never ends', async (t) => {
  const { engine } = await newPrimary(t)
  const { request, spins } = spinning()
  const spun = t.rejects(engine.submit(request), { code: 'ENGINE_STOPPED' })
  await spins
  await engine.stop('immediate')
  await spun
})

t.test(
  'a fast stop interrupts what runs, and does without a checkpoint what it cannot interrupt',
  async (t) => {
    const { engine } = await newPrimary(t)
    await run(engine, 'CREATE TABLE a(i int, b text)')
    const long = engine.submit(
      query("INSERT INTO a SELECT g, repeat('y', 300) FROM generate_series(1, 5000000) g"),
    )
    await pause(200)
    await engine.stop('fast')
    t.same(parse((await long).output).errors, ['57014'])
    await engine.startPrimary()
    const { request } = spinning()
    const spun = t.rejects(engine.submit(request), { code: 'ENGINE_STOPPED' })
    await pause(200)
    await engine.stop('fast')
    await spun
    await engine.startPrimary()
    t.equal(await value(engine, 'SELECT count(*) FROM a'), '0')
  },
)

t.test('an engine that is stopped while it starts does not start', async (t) => {
  const { engine } = await newPrimary(t)
  await engine.stop('fast')
  const start = t.rejects(engine.startPrimary(), { code: 'ENGINE_STOPPED' })
  await engine.stop('immediate')
  await start
  await engine.startPrimary()
  t.equal(await value(engine, 'SELECT 1'), '1')
})
