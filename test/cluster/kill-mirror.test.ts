// `kill -9` of a mirror under load: commits wait until the catalog says so, and then go on without it; it comes back and is in sync.
import t from 'tap'
import {
  describeVerdict,
  FaultPoints,
  inSync,
  isFaultless,
  Load,
  TestCluster,
} from '@mirabelle/testkit/cluster'

// A busy machine starts a cluster slowly; the limits of the single waits are much lower.
t.setTimeout(300_000)

const COORDINATOR = 1

t.test('a mirror killed under load stalls its content only until the catalog has it as down', async (t) => {
  FaultPoints.allow()
  const cluster = await TestCluster.start({ segments: 2 })
  t.teardown(() => cluster.close())
  const load = await Load.start(cluster, { count: 16, apart: true })
  t.teardown(() => load.stop())
  await cluster.waitForCatalog('all pairs in sync', inSync)
  await load.acks(200)
  const mirror = await cluster.mirrorOf(0)
  const killedAt = performance.now()
  process.kill((await cluster.pids()).get(mirror.dbid) as number, 'SIGKILL')
  const rows = await cluster.waitForCatalog('the mirror of content 0 to be down', (all) =>
    all.some((row) => row.dbid === mirror.dbid && row.status === 'd'),
  )
  const catalogMs = Math.round(performance.now() - killedAt)
  t.match(
    rows.filter(({ content }) => content === 0),
    [
      { role: 'p', status: 'u', mode: 'n' },
      { role: 'm', status: 'd', mode: 'n' },
    ],
    'the pair is not in sync, its mirror is down',
  )
  t.match(
    rows.filter(({ content }) => content === 1),
    [
      { status: 'u', mode: 's' },
      { status: 'u', mode: 's' },
    ],
    'the other pair is as before',
  )
  const seenAt = performance.now()
  for (const one of [0, 1]) await load.acksOn(one, seenAt)
  const stallMs = Math.round(load.ledger.longestGap(0, killedAt).gapMs)
  t.comment(
    `longest pause of content 0: ${stallMs} ms; of content 1: ${Math.round(load.ledger.longestGap(1, killedAt).gapMs)} ms; in the catalog after ${catalogMs} ms`,
  )
  t.ok(stallMs < 10_000, 'commits wait for less than ten seconds')
  t.equal(load.ledger.count('acked'), load.ledger.units.length, 'no client sees an error')
  await cluster.heal()
  const schema = await changeSchema(cluster)
  // The catalog has it first, then the primary is told: in between nothing is acknowledged.
  const faults = new FaultPoints(cluster)
  await faults.inject(COORDINATOR, 'fts.mirror-down.after', 'suspend')
  const other = await cluster.mirrorOf(1)
  process.kill((await cluster.pids()).get(other.dbid) as number, 'SIGKILL')
  await faults.reached(COORDINATOR, 'fts.mirror-down.after')
  await cluster.cluster.state()
  const betweenAt = performance.now()
  await cluster.cluster.state()
  t.equal(load.ledger.acksOf(1, betweenAt).length, 0, 'no commit goes on before the primary is told')
  await faults.resume(COORDINATOR, 'fts.mirror-down.after')
  await cluster.waitForCatalog('the mirror of content 1 to be down', (all) =>
    all.some((row) => row.dbid === other.dbid && row.status === 'd'),
  )
  const recordedAt = performance.now()
  for (const one of [0, 1]) await load.acksOn(one, recordedAt)
  const { changes, errors } = await schema.stop()
  t.ok(changes > 0, `${changes} changes of the schema around the loss of a mirror`)
  t.same(
    errors.filter((code) => code !== '40001'),
    [],
    'one that was in the way of the catalog may be run again',
  )
  await cluster.heal()
  // The mirror that came back holds everything: it serves it when the primary goes.
  await load.acks(100)
  const primary = await cluster.primaryOf(0)
  process.kill((await cluster.pids()).get(primary.dbid) as number, 'SIGKILL')
  await cluster.waitForCatalog('a takeover by the mirror that came back', (all) =>
    all.some((row) => row.dbid === mirror.dbid && row.role === 'p'),
  )
  const takenAt = performance.now()
  for (const one of [0, 1]) await load.acksOn(one, takenAt)
  await load.stop()
  const verdict = await load.judge()
  t.comment(describeVerdict(verdict))
  t.ok(isFaultless(verdict), 'nothing acknowledged is lost, nothing is doubled', { found: verdict })
})

/** Two clients that change the schema, one change after the other: each takes all lanes, the coordinator's among them. */
async function changeSchema(cluster: TestCluster) {
  let stopped = false
  let changes = 0
  const errors: unknown[] = []
  const clients = await Promise.all(['one', 'two'].map(async () => cluster.connect()))
  const loops = clients.map(async (client, i) => {
    while (!stopped) {
      for (const sql of [
        `CREATE TABLE IF NOT EXISTS changing_${i} (id int)`,
        `DROP TABLE IF EXISTS changing_${i}`,
      ]) {
        await client.query(sql).then(
          () => changes++,
          (error: { code: unknown }) => errors.push(error.code),
        )
      }
    }
    await client.end()
  })
  return {
    async stop() {
      stopped = true
      await Promise.all(loops)
      return { changes, errors }
    },
  }
}
