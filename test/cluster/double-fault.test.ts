// Both of a pair killed: statements on that content fail soon with an error that names it, the other content goes on, `start` brings it back.
import t from 'tap'
import type pg from 'pg'
import {
  contentOf,
  describeError,
  describeVerdict,
  inSync,
  isFaultless,
  Load,
  TestCluster,
} from '@mirabelle/testkit/cluster'

// A busy machine starts a cluster slowly; the limits of the single waits are much lower.
t.setTimeout(300_000)

t.test('a content whose both instances are dead fails fast, and comes back whole', async (t) => {
  const cluster = await TestCluster.start({ segments: 2 })
  t.teardown(() => cluster.close())
  const load = await Load.start(cluster, { count: 8, apart: true })
  t.teardown(() => load.stop())
  await cluster.waitForCatalog('all pairs in sync', inSync)
  await load.acks(200)
  const [primary, mirror] = [await cluster.primaryOf(0), await cluster.mirrorOf(0)]
  const pids = await cluster.pids()
  const client = await cluster.connect()
  t.teardown(() => client.end())
  const killedAt = performance.now()
  for (const { dbid } of [primary, mirror]) process.kill(pids.get(dbid) as number, 'SIGKILL')

  const first = await failing(client)
  const second = await failing(client)
  t.comment(`${first.ms} ms: ${first.error}`)
  t.comment(`${second.ms} ms: ${second.error}`)
  for (const { ms, error } of [first, second]) {
    t.match(error, /content 0/, 'the error names the content')
    t.ok(ms < 5_000, 'and comes soon')
  }
  await t.rejects(client.query('SELECT count(*) FROM load'), /content 0/, 'a read of all contents fails, too')
  const seenAt = performance.now()
  await load.acksOn(1, seenAt, 50)
  t.comment(`longest pause of the other content: ${Math.round(load.ledger.longestGap(1, killedAt).gapMs)} ms`)
  const state = await cluster.cluster.state()
  t.match(state.cluster.problems.join('\n'), /content 0/, 'state names it')

  await cluster.cluster.start()
  const backAt = performance.now()
  for (const one of [0, 1]) await load.acksOn(one, backAt)
  await cluster.heal()
  await load.stop()
  const verdict = await load.judge()
  t.comment(`${describeVerdict(verdict)}; ${JSON.stringify([...load.ledger.errors()])}`)
  t.ok(isFaultless(verdict), 'nothing acknowledged is lost, nothing is doubled', { found: verdict })
})

/** Writes to content 0, which must fail; how long that took and what it said. */
async function failing(client: pg.Client): Promise<{ readonly ms: number; readonly error: string }> {
  let id = 1_000_000_000
  while (contentOf(id, 2) !== 0) id += 1
  const beganAt = performance.now()
  try {
    await client.query(`INSERT INTO load VALUES (${id}, 0, 'never')`)
  } catch (error) {
    return { ms: Math.round(performance.now() - beganAt), error: describeError(error) }
  }
  throw new Error('a write to a content without instances was acknowledged')
}
