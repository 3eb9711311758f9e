/** Continuous recovery, promotion, and the way back of an ex-primary, on real WAL that the test ships itself. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { walFileName as segmentName } from '@mirabelle/wal'
import {
  EngineDied,
  instancePaths,
  WAL_PAGE_BYTES,
  WAL_SEGMENT_BYTES,
  type EnginePort,
  type WalChunk,
} from '@mirabelle/engine'
import { engineOn, newInstance, query, run, storeWal, until, value } from '../support/kit.ts'

interface Side {
  readonly engine: EnginePort
  readonly folder: string
}

interface Pair {
  readonly primary: Side
  readonly mirror: Side
}

/** Copies the segment that holds `lsn`, as a walreceiver that starts at a segment's beginning would get it. */
function shipSegmentOf(from: string, to: string, timeline: number, lsn: number): void {
  const name = segmentName(timeline, lsn, WAL_SEGMENT_BYTES)
  mkdirSync(instancePaths(to).receivedWal, { recursive: true })
  copyFileSync(join(instancePaths(from).pgWal, name), join(instancePaths(to).receivedWal, name))
}

function ship(mirror: Side): (chunk: WalChunk) => void {
  return (chunk) => {
    storeWal(mirror.folder, chunk)
    mirror.engine.walArrived(chunk.timeline, chunk.end)
  }
}

/** A primary and a mirror from the same template; the mirror has no backup label. */
async function newPair(t: Parameters<typeof newInstance>[0]): Promise<Pair> {
  const [first, second] = [await newInstance(t), await newInstance(t)]
  const primary = { engine: engineOn(t, first), folder: first }
  const mirror = { engine: engineOn(t, second), folder: second }
  const { lsn, timeline } = await primary.engine.startPrimary()
  shipSegmentOf(first, second, timeline, lsn)
  primary.engine.onWal = ship(mirror)
  await mirror.engine.startMirror({ timeline, receivedEnd: lsn })
  return { primary, mirror }
}

t.test(
  'a mirror cloned from the same template replays WAL while it is received, at most two pages behind',
  async (t) => {
    const { primary, mirror } = await newPair(t)
    await run(primary.engine, 'CREATE TABLE a(i int PRIMARY KEY, b text)')
    await run(primary.engine, "INSERT INTO a SELECT g, repeat('x', 100) FROM generate_series(1, 40000) g")
    const caughtUp = async (): Promise<void> => {
      const flush = primary.engine.flushLsn()
      await until(() => flush - mirror.engine.replayLsn() <= 2 * WAL_PAGE_BYTES)
      t.ok(mirror.engine.replayLsn() <= flush)
    }
    await caughtUp()
    // Whole pages in WAL, after which nothing comes: what was read ahead of replay would wait with it.
    await run(primary.engine, 'CHECKPOINT')
    await run(primary.engine, "UPDATE a SET b = 'y' WHERE i % 1000 = 0")
    await caughtUp()
    await t.rejects(mirror.engine.submit(query('SELECT 1')), { code: 'ENGINE_STOPPED' })
  },
)

t.test('promotion keeps every row and the prepared transactions, on a new timeline', async (t) => {
  const { primary, mirror } = await newPair(t)
  await run(primary.engine, 'CREATE TABLE a(i int PRIMARY KEY)')
  await run(primary.engine, 'INSERT INTO a SELECT generate_series(1, 20000)')
  await run(primary.engine, "BEGIN; INSERT INTO a VALUES (-1); PREPARE TRANSACTION 'g1'")
  await run(primary.engine, "BEGIN; INSERT INTO a VALUES (-2); PREPARE TRANSACTION 'g2'")
  await primary.engine.stop('immediate')
  const started = await mirror.engine.promote()
  t.equal(started.timeline, 2)
  t.ok(existsSync(join(instancePaths(mirror.folder).pgWal, '00000002.history')))
  t.notOk(existsSync(join(instancePaths(mirror.folder).pgdata, 'recovery.signal')))
  t.equal(await value(mirror.engine, 'SELECT count(*) FROM pg_prepared_xacts'), '2')
  await run(mirror.engine, "COMMIT PREPARED 'g1'")
  await run(mirror.engine, "ROLLBACK PREPARED 'g2'")
  t.equal(await value(mirror.engine, 'SELECT count(*) FROM a'), '20001')
  t.equal(await value(mirror.engine, 'SELECT min(i) FROM a'), '-1')
  let chunk: WalChunk | undefined
  mirror.engine.onWal = (one) => {
    chunk = one
  }
  await run(mirror.engine, 'INSERT INTO a VALUES (-3)')
  t.equal(chunk?.timeline, 2)
  t.ok((await mirror.engine.syncWal()) >= mirror.engine.flushLsn())
})

t.test('promotion ignores rubbish behind the end of the received WAL', async (t) => {
  const { primary, mirror } = await newPair(t)
  await run(primary.engine, 'CREATE TABLE a(i int)')
  await run(primary.engine, 'INSERT INTO a VALUES (1)')
  const end = primary.engine.flushLsn()
  // WAL that reached the mirror's disk but was never announced: a commit that must not appear.
  primary.engine.onWal = (chunk) => storeWal(mirror.folder, chunk)
  await run(primary.engine, 'INSERT INTO a VALUES (2)')
  await primary.engine.stop('immediate')
  const { lsn } = await mirror.engine.promote()
  t.ok(lsn > end)
  t.equal(await value(mirror.engine, 'SELECT count(*) FROM a'), '1')
})

t.test('a stopped mirror starts again and goes on; stopping does not wait for WAL', async (t) => {
  const { primary, mirror } = await newPair(t)
  await run(primary.engine, 'CREATE TABLE a(i int)')
  await run(primary.engine, 'INSERT INTO a SELECT generate_series(1, 30000)')
  const before = Date.now()
  await mirror.engine.stop('fast')
  t.ok(Date.now() - before < 5000)
  const again = { engine: engineOn(t, mirror.folder), folder: mirror.folder }
  const end = primary.engine.flushLsn()
  await again.engine.startMirror({ timeline: 1, receivedEnd: end })
  primary.engine.onWal = ship(again)
  await run(primary.engine, 'INSERT INTO a VALUES (0)')
  await primary.engine.stop('immediate')
  await again.engine.promote()
  t.equal(await value(again.engine, 'SELECT count(*) FROM a'), '30001')
})

t.test('a mirror folder is not started as primary', async (t) => {
  const { mirror } = await newPair(t)
  await mirror.engine.stop('immediate')
  await t.rejects(engineOn(t, mirror.folder).startPrimary(), { code: 'ENGINE_REFUSED', message: /promote/ })
})

t.test('an ex-primary follows the new timeline, and can be promoted in its turn', async (t) => {
  const { primary, mirror } = await newPair(t)
  await run(primary.engine, 'CREATE TABLE a(i int)')
  await run(primary.engine, 'INSERT INTO a SELECT generate_series(1, 30000)')
  const end = primary.engine.flushLsn()
  await primary.engine.stop('immediate')
  await mirror.engine.promote()
  await run(mirror.engine, 'INSERT INTO a SELECT generate_series(1, 30000)')
  // What a walreceiver brings: the history, and WAL from the beginning of the segment in which the old WAL ends.
  const from = instancePaths(mirror.folder).pgWal
  const first = segmentName(2, end, WAL_SEGMENT_BYTES)
  for (const name of readdirSync(from).filter(
    (one) => one === '00000002.history' || (one >= first && one.length === 24),
  )) {
    copyFileSync(join(from, name), join(instancePaths(primary.folder).receivedWal, name))
  }
  const back = { engine: engineOn(t, primary.folder), folder: primary.folder }
  const started = await back.engine.startMirror({ timeline: 2, receivedEnd: mirror.engine.flushLsn() })
  t.equal(started.timeline, 2)
  mirror.engine.onWal = ship(back)
  await run(mirror.engine, 'INSERT INTO a VALUES (-1)')
  await mirror.engine.stop('immediate')
  const promoted = await back.engine.promote()
  t.equal(promoted.timeline, 3)
  t.equal(await value(back.engine, 'SELECT count(*) FROM a'), '60001')
})

t.test('a running mirror follows its primary to a new timeline', async (t) => {
  const { primary, mirror } = await newPair(t)
  await run(primary.engine, 'CREATE TABLE a(i int)')
  const end = primary.engine.flushLsn()
  // A second mirror with the same WAL takes over.
  const folder = await newInstance(t)
  for (const name of readdirSync(instancePaths(mirror.folder).receivedWal)) {
    copyFileSync(
      join(instancePaths(mirror.folder).receivedWal, name),
      join(instancePaths(folder).receivedWal, name),
    )
  }
  const heir = { engine: engineOn(t, folder), folder }
  await heir.engine.startMirror({ timeline: 1, receivedEnd: end })
  await primary.engine.stop('immediate')
  await heir.engine.promote()
  await run(heir.engine, 'INSERT INTO a VALUES (1)')
  const from = instancePaths(heir.folder).pgWal
  for (const name of ['00000002.history', segmentName(2, end, WAL_SEGMENT_BYTES)])
    copyFileSync(join(from, name), join(instancePaths(mirror.folder).receivedWal, name))
  mirror.engine.walArrived(2, heir.engine.flushLsn())
  await heir.engine.stop('immediate')
  t.equal((await mirror.engine.promote()).timeline, 3)
  t.equal(await value(mirror.engine, 'SELECT count(*) FROM a'), '1')
})

t.test('an ex-primary whose WAL goes beyond the fork is refused, with the reason', async (t) => {
  const { primary, mirror } = await newPair(t)
  await run(primary.engine, 'CREATE TABLE a(i int)')
  primary.engine.onWal = () => undefined
  await run(primary.engine, 'INSERT INTO a SELECT generate_series(1, 30000)')
  await run(primary.engine, 'CHECKPOINT')
  await primary.engine.stop('fast')
  await mirror.engine.promote()
  await run(mirror.engine, 'INSERT INTO a VALUES (1)')
  copyFileSync(
    join(instancePaths(mirror.folder).pgWal, '00000002.history'),
    join(instancePaths(primary.folder).receivedWal, '00000002.history'),
  )
  const back = engineOn(t, primary.folder)
  await t.rejects(back.startMirror({ timeline: 2, receivedEnd: primary.engine.flushLsn() }), {
    code: 'ENGINE_REFUSED',
    message: /has diverged: its last checkpoint is at .* differential/,
  })
})

t.test('missing WAL kills the mirror with its name instead of promoting it', async (t) => {
  const { primary, mirror } = await newPair(t)
  await run(primary.engine, 'CREATE TABLE a(i int)')
  await mirror.engine.stop('immediate')
  const { receivedWal, pgWal } = instancePaths(mirror.folder)
  for (const folder of [receivedWal, pgWal])
    for (const name of readdirSync(folder)) if (name.length === 24) rmSync(join(folder, name))
  const again = engineOn(t, mirror.folder)
  const death = new Promise<Error>((resolve) => {
    again.onDeath = resolve
  })
  const start = again.startMirror({
    timeline: 1,
    receivedEnd: primary.engine.flushLsn() + 4 * WAL_SEGMENT_BYTES,
  })
  const error = await Promise.race([
    start.then(
      () => death,
      (refused: Error) => refused,
    ),
    death,
  ])
  t.match(error.message, /neither among the received WAL nor in pg_wal/)
  t.notOk(error instanceof EngineDied && existsSync(join(pgWal, '00000002.history')))
})
