// Mirrors and the standby coordinator refresh their bases under load again and again; primaries are killed in the middle of it. Takes minutes, not in CI.
import t from 'tap'
import { join } from 'node:path'
import {
  describeVerdict,
  inSync,
  isFaultless,
  Load,
  LogWatch,
  TestCluster,
  waitFor,
} from '@mirabelle/testkit/cluster'

const ROUNDS = Number(process.env['MIRABELLE_TEST_ROUNDS'] ?? 4)

t.setTimeout(1_200_000)

t.test('primaries killed while their mirrors refresh their bases: no acknowledged row is lost', async (t) => {
  const settings = { mirror_base_refresh_size: '4MB', max_wal_size: '16MB' }
  const cluster = await TestCluster.start({ segments: 2, settings })
  t.teardown(() => cluster.close())
  const load = await Load.start(cluster, { count: 8, apart: true, restMs: 0 })
  t.teardown(() => load.stop())
  await cluster.query('CREATE TABLE bulk (id bigint, pad text) DISTRIBUTED BY (id)')
  let filling = true
  const filler = (async () => {
    while (filling) {
      // Fails when its content fails over; the load keeps the book, this only makes WAL.
      await cluster
        .query(`INSERT INTO bulk SELECT i, repeat('x', 400) FROM generate_series(1, 2000) i`)
        .catch(() => undefined)
    }
  })()
  t.teardown(() => {
    filling = false
    return filler
  })
  for (let round = 0; round < ROUNDS; round++) {
    await cluster.waitForCatalog('all pairs in sync', inSync)
    const content = round % 2
    const mirror = await cluster.mirrorOf(content)
    const log = await LogWatch.of(...cluster.logsOf(mirror.dbid))
    const began = performance.now()
    await waitFor(
      `a base refresh of content ${content}`,
      async () => (await log.matching(/the base of the mirror is refreshed/)).length > 0,
      180_000,
    )
    const refreshedAt = performance.now()
    const longest = load.ledger.longestGap(content, began, refreshedAt)
    t.comment(
      `content ${content}: longest pause of acknowledgements until its mirror had a new base ${Math.round(longest.gapMs)} ms`,
    )
    const again = await LogWatch.of(...cluster.logsOf(mirror.dbid))
    await waitFor(
      'PostgreSQL of the mirror starts on the next base',
      async () => (await again.matching(/recovery begins|replay has begun/)).length > 0,
      180_000,
    )
    const { dbid } = await cluster.primaryOf(content)
    const killedAt = performance.now()
    process.kill((await cluster.pids()).get(dbid) as number, 'SIGKILL')
    await cluster.waitForCatalog(`a takeover of content ${content}`, (all) =>
      all.some((row) => row.dbid === dbid && row.role === 'm'),
    )
    await load.acksOn(content, performance.now())
    const { endsAtMs } = load.ledger.longestGap(content, killedAt)
    t.comment(
      `content ${content}: first acknowledgement ${Math.round(endsAtMs - killedAt)} ms after the kill`,
    )
    await cluster.heal()
  }
  const standby = await cluster.mirrorOf(-1)
  const bulk = `CREATE TABLE bulk_catalog (x int) DISTRIBUTED BY (x)`
  const log = await LogWatch.of(join(cluster.instance(standby.dbid).datadir, 'log', 'mirabelle.log'))
  await cluster.query(bulk)
  for (let i = 0; (await log.matching(/the base of the mirror is refreshed/)).length === 0; i++) {
    if (i > 3_000) throw new Error('the standby coordinator has not refreshed its base')
    await cluster.query(`ALTER TABLE bulk_catalog ADD COLUMN c${i} int`)
    await cluster.query(`ALTER TABLE bulk_catalog DROP COLUMN c${i}`)
    if (i % 500 === 499) {
      await cluster.query('DROP TABLE bulk_catalog')
      await cluster.query(bulk)
    }
  }
  t.pass('the standby coordinator has a new base')
  filling = false
  await filler
  await load.stop()
  const verdict = await load.judge()
  t.comment(describeVerdict(verdict))
  t.ok(isFaultless(verdict), 'nothing acknowledged is lost, nothing is doubled', { found: verdict })
})
