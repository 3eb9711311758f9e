// An fsync fails, of a primary's WAL, of its data, of the WAL that a mirror received. It is never taken for done and never tried again on the same file as if it had
// been: a primary ends and its mirror takes over, a mirror writes the WAL anew before it acknowledges it. Nothing acknowledged is lost, no client sees an error.
import t from 'tap'
import {
  describeVerdict,
  FaultPoints,
  inSync,
  isFaultless,
  Load,
  TestCluster,
} from '@mirabelle/testkit/cluster'

t.setTimeout(600_000)

t.test('a failed fsync is the end of a primary, and of a stream', async (t) => {
  FaultPoints.allow()
  FaultPoints.atStart()
  const cluster = await TestCluster.start({ segments: 2, standby: false })
  t.teardown(() => cluster.close())
  const faults = new FaultPoints(cluster)
  const load = await Load.start(cluster, { count: 8, apart: true })
  t.teardown(() => load.stop())
  await cluster.waitForCatalog('all pairs in sync', inSync)
  await load.acks(100)

  await t.test('WAL of a mirror: the stream begins again', async (t) => {
    const { dbid } = await cluster.mirrorOf(0)
    await faults.inject(dbid, 'fsync.wal.mirror.before', 'error')
    await faults.reached(dbid, 'fsync.wal.mirror.before')
    const failedAt = performance.now()
    for (const content of [0, 1]) await load.acksOn(content, failedAt)
    await cluster.waitForCatalog('the pair in sync', inSync)
    t.ok((await cluster.pids()).has(dbid), 'the process goes on')
  })

  for (const point of ['fsync.wal.primary.before', 'fsync.data.before'] as const)
    await t.test(`${point}: the mirror takes over`, async (t) => {
      const { dbid } = await cluster.primaryOf(0)
      const pid = (await cluster.pids()).get(dbid)
      await faults.inject(dbid, point, 'error')
      const checkpoint = await cluster.connect()
      if (point === 'fsync.data.before') await checkpoint.query('CHECKPOINT').catch(() => undefined) // its server dies
      await checkpoint.end()
      await cluster.waitForCatalog('the failover', (rows) =>
        rows.some((row) => row.content === 0 && row.role === 'p' && row.dbid !== dbid),
      )
      const failedAt = performance.now()
      for (const content of [0, 1]) await load.acksOn(content, failedAt)
      t.not((await cluster.pids()).get(dbid), pid, 'the process has ended')
      const { problems } = (await cluster.cluster.state()).cluster
      t.match(
        problems.find((one) => one.startsWith(`dbid ${dbid} `)),
        /fault\.injected|fsync|durable/,
        'it is told why',
      )
      await cluster.heal()
    })

  await load.stop()
  const verdict = await load.judge()
  t.comment(describeVerdict(verdict))
  t.equal(verdict.failed + verdict.unknown, 0, 'no client sees an error')
  t.ok(isFaultless(verdict), 'nothing acknowledged is lost, nothing is there twice', { found: verdict })
})
