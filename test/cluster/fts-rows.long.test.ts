// What FTS and synchronous replication do, row by row of Greenplum's behaviour, on real processes that are stopped at their fault points.
// `npx tap --timeout=3600 test/cluster/fts-rows.long.test.ts`
import t from 'tap'
import { FaultPoints, PROMOTION_POINTS, waitFor } from '@mirabelle/testkit/cluster'
import { COORDINATOR, Script, type Running } from './fault-script.ts'

t.setTimeout(3_600_000)

const script = await Script.start(t)
const { faults, cluster } = script

/** The mirror of content 0 is killed; a write to it is under way. */
async function mirrorGone(): Promise<{ write: Running; primary: number; mirror: number }> {
  const { primary, mirror } = await script.pair(0)
  await script.kill(mirror.dbid)
  return { write: script.insert(0), primary: primary.dbid, mirror: mirror.dbid }
}

script.row(t, 'a mirror goes while commits wait: the catalog has it first, then they go on', async (t) => {
  await faults.inject(COORDINATOR, 'fts.mirror-down.before', 'suspend')
  await faults.inject(COORDINATOR, 'fts.mirror-down.after', 'suspend')
  const { write } = await mirrorGone()
  await faults.reached(COORDINATOR, 'fts.mirror-down.before')
  t.equal((await script.pair(0)).is, 'psu msu')
  t.equal(await script.insert(1).outcome, undefined, 'the other content goes on')
  t.equal(write.over, false)
  await faults.resume(COORDINATOR, 'fts.mirror-down.before')
  await faults.reached(COORDINATOR, 'fts.mirror-down.after')
  t.equal(write.over, false, 'the commit waits although the catalog has it')
  const recorded = await script.history(async () => {
    await faults.resume(COORDINATOR, 'fts.mirror-down.after')
    t.equal(await write.outcome, undefined)
  })
  t.same(recorded, [], 'the record was made before anybody was told')
  t.equal((await script.pair(0)).is, 'pnu mnd')
})

script.row(t, 'both rows of a mirror that is down are in the history, in FTS words', async (t) => {
  const { primary, mirror } = await script.pair(0)
  const added = await script.history(async () => {
    await script.kill(mirror.dbid)
    t.equal(await script.insert(0).outcome, undefined)
  })
  t.same(added, [
    `FTS: update role, status, and mode for dbid ${primary.dbid} with contentid 0 to p, u, and n`,
    `FTS: update role, status, and mode for dbid ${mirror.dbid} with contentid 0 to m, d, and n`,
  ])
})

script.row(t, 'SYNCREP_OFF is lost: commits stay blocked until a later cycle sends it again', async (t) => {
  const { primary } = await script.pair(0)
  await faults.inject(primary.dbid, 'receive.segment.syncRepOff', 'skip', { end: 2 })
  const { write } = await mirrorGone()
  await faults.reached(primary.dbid, 'receive.segment.syncRepOff', 2)
  t.equal(write.over, false)
  t.equal((await script.pair(0)).is, 'pnu mnd', 'the catalog stays')
  t.equal(await write.outcome, undefined)
  await faults.reached(primary.dbid, 'receive.segment.syncRepOff', 3)
})

script.row(t, 'the record of a mirror that is down fails: nobody is told, it is tried again', async (t) => {
  await faults.inject(COORDINATOR, 'fts.mirror-down.before', 'error', { end: 2 })
  const { primary } = await script.pair(0)
  await faults.inject(primary.dbid, 'receive.segment.syncRepOff', 'sleep', { end: -1 })
  const { write } = await mirrorGone()
  await faults.reached(COORDINATOR, 'fts.mirror-down.before', 2)
  t.equal((await faults.status(primary.dbid))[0]?.hits, 0, 'SYNCREP_OFF is not sent')
  t.equal(write.over, false)
  t.equal(await write.outcome, undefined)
  t.equal((await script.pair(0)).is, 'pnu mnd')
})

script.row(
  t,
  'a mirror whose connection breaks comes back within its grace period: nothing is recorded',
  async (t) => {
    const { primary } = await script.pair(0)
    const added = await script.history(async () => {
      await faults.inject(primary.dbid, 'receive.wal.flushed', 'error')
      t.equal(await script.insert(0).outcome, undefined)
      await faults.reached(primary.dbid, 'receive.wal.flushed', 2)
      await cluster.cluster.probe()
    })
    t.same(added, [])
    t.equal((await script.pair(0)).is, 'psu msu')
  },
)

script.row(t, 'PROMOTE is lost and sent again; the catalog is changed once, before', async (t) => {
  const { primary, mirror } = await script.pair(0)
  await faults.inject(mirror.dbid, 'receive.segment.promote', 'skip', { end: 2 })
  const added = await script.history(async () => {
    await script.kill(primary.dbid)
    await faults.reached(mirror.dbid, 'receive.segment.promote', 1)
    t.equal((await script.pair(0)).is, 'pnu mnd')
    t.equal((await script.pair(0)).primary.dbid, mirror.dbid)
    const write = script.insert(0)
    await faults.reached(mirror.dbid, 'receive.segment.promote', 3)
    t.equal(await write.outcome, undefined)
  })
  t.equal(added.length, 2, added.join('\n'))
})

script.row(t, 'the answer to PROMOTE is lost: the new primary is asked again and answers', async (t) => {
  const { primary, mirror } = await script.pair(0)
  await faults.inject(mirror.dbid, 'send.fts.probed', 'skip', { end: 2 })
  await script.kill(primary.dbid)
  t.equal(await script.insert(0).outcome, undefined)
  t.equal((await script.pair(0)).primary.dbid, mirror.dbid)
})

script.row(t, 'a failover is recorded before anybody is promoted', async (t) => {
  const { primary, mirror } = await script.pair(0)
  await faults.inject(COORDINATOR, 'fts.failover.after', 'suspend')
  await script.kill(primary.dbid)
  await faults.reached(COORDINATOR, 'fts.failover.after')
  const { roleState } = await cluster.ask(cluster.instance(mirror.dbid).endpoint, { type: 'instance.status' })
  t.ok(['mirror', 'starting'].includes(roleState), `not promoted: ${roleState}`)
  const write = script.insert(0)
  await faults.resume(COORDINATOR, 'fts.failover.after')
  t.equal(await write.outcome, undefined)
  t.equal((await script.pair(0)).primary.dbid, mirror.dbid)
})

script.row(t, 'the record of a failover fails: nobody is promoted until it is durable', async (t) => {
  const { primary, mirror } = await script.pair(0)
  await faults.inject(COORDINATOR, 'fts.failover.before', 'error', { end: 2 })
  await faults.inject(mirror.dbid, 'receive.segment.promote', 'sleep', { end: -1 })
  await script.kill(primary.dbid)
  await faults.reached(COORDINATOR, 'fts.failover.before', 2)
  t.equal((await faults.status(mirror.dbid))[0]?.hits, 0)
  t.equal(await script.insert(0).outcome, undefined)
})

script.row(t, 'a primary that hangs in its answer to a probe is taken over, and fenced', async (t) => {
  const { primary, mirror } = await script.pair(0)
  await faults.inject(primary.dbid, 'probe.answer', 'suspend', { end: -1 })
  await cluster.cluster.probe()
  await script.died(primary.dbid)
  t.equal((await script.pair(0)).primary.dbid, mirror.dbid)
  await script.writes(t, 'after the takeover')
})

script.row(t, 'a probe that fails is tried again: one that answers in the end changes nothing', async (t) => {
  const { primary } = await script.pair(0)
  const added = await script.history(async () => {
    await faults.inject(primary.dbid, 'probe.answer', 'error', { end: 2 })
    await cluster.cluster.probe()
    await faults.reached(primary.dbid, 'probe.answer', 3)
  })
  t.same(added, [])
  t.equal((await script.pair(0)).primary.dbid, primary.dbid)
})

script.row(
  t,
  'a double fault is recorded once, changes no roles, and ends when the primary is back',
  async (t) => {
    const { primary, mirror } = await script.pair(0)
    await script.kill(mirror.dbid)
    await cluster.waitForCatalog('the mirror down', (rows) =>
      rows.some(({ dbid, status }) => dbid === mirror.dbid && status === 'd'),
    )
    const added = await script.history(async () => {
      await script.kill(primary.dbid)
      await waitFor('a double fault in the history', async () => {
        const rows = await cluster.query(
          `SELECT 1 FROM gp_configuration_history WHERE description LIKE 'FTS: double fault%' AND dbid = ${primary.dbid}`,
        )
        return rows.length > 0
      })
      for (let i = 0; i < 3; i++) await cluster.cluster.probe()
      t.equal((await script.pair(0)).is, 'pnu mnd', 'the catalog is as before')
      await cluster.cluster.startInstance(primary.dbid)
      t.equal(await script.insert(0).outcome, undefined)
      await cluster.cluster.probe()
    })
    t.same(added, [
      'FTS: double fault detected for content id 0',
      `FTS: content id 0 is out of double fault, dbid ${primary.dbid} is up`,
    ])
  },
)

script.row(t, 'probe requests during a cycle share the next one, which is a fresh one', async (t) => {
  const { primary } = await script.pair(0)
  await cluster.cluster.probe()
  await faults.inject(primary.dbid, 'probe.answer', 'suspend')
  const running = cluster.cluster.probe()
  await faults.reached(primary.dbid, 'probe.answer')
  const asked = Promise.all([1, 2, 3].map(() => cluster.cluster.probe()))
  // They have arrived when the coordinator has answered something that was asked after them.
  await cluster.cluster.state()
  await faults.resume(primary.dbid, 'probe.answer')
  await Promise.all([running, asked])
  const hits = (await faults.status(primary.dbid))[0]?.hits ?? 0
  t.ok(
    hits >= 2 && hits <= 3,
    `${hits} probes: the one under way, one for all three, at most one by the clock`,
  )
})

script.row(t, 'a mirror that is back is waited for before the catalog says that it is in sync', async (t) => {
  const { mirror, primary } = await mirrorGone()
  await cluster.waitForCatalog('the mirror down', (rows) =>
    rows.some(({ dbid, status }) => dbid === mirror && status === 'd'),
  )
  await faults.inject(COORDINATOR, 'fts.mirror-up.before', 'suspend')
  const recovery = cluster.cluster.recover()
  await faults.reached(COORDINATOR, 'fts.mirror-up.before')
  const { syncRep } = await cluster.ask(cluster.instance(primary).endpoint, { type: 'instance.status' })
  t.equal(syncRep, true, 'commits wait for it')
  t.equal((await script.pair(0)).is, 'pnu mnd', 'the catalog does not say so yet')
  await faults.resume(COORDINATOR, 'fts.mirror-up.before')
  t.match(await recovery, [{ dbid: mirror, outcome: 'done' }])
  t.equal((await script.pair(0)).is, 'psu msu')
})

script.row(
  t,
  'a cancel during the wait for the mirror is no false answer: the row is there, once',
  async (t) => {
    const { mirror } = await script.pair(0)
    await faults.inject(mirror.dbid, 'fsync.wal.mirror.before', 'suspend')
    const write = script.insert(0)
    await faults.reached(mirror.dbid, 'fsync.wal.mirror.before')
    await write.cancel()
    await cluster.cluster.state()
    t.equal(write.over, false, 'it waits on: it is committed here, and not yet there')
    await faults.resume(mirror.dbid, 'fsync.wal.mirror.before')
    t.equal(await write.outcome, undefined)
  },
)

script.row(t, 'WAL that the mirror has fsynced and not acknowledged is not lost with it', async (t) => {
  const { mirror, primary } = await script.pair(0)
  await faults.inject(mirror.dbid, 'fsync.wal.mirror.after', 'suspend')
  const write = script.insert(0)
  await faults.reached(mirror.dbid, 'fsync.wal.mirror.after')
  await script.kill(primary.dbid)
  await faults.resume(mirror.dbid, 'fsync.wal.mirror.after')
  t.equal(await write.outcome, undefined)
  t.equal((await script.pair(0)).primary.dbid, mirror.dbid)
})

script.row(t, 'a primary that dies before its own fsync has told nobody', async (t) => {
  const { primary } = await script.pair(0)
  await faults.inject(primary.dbid, 'fsync.wal.primary.before', 'crash')
  const write = script.insert(0)
  await script.died(primary.dbid)
  t.equal(await write.outcome, undefined, 'it is run again, or looked up, at the new primary')
})

script.row(
  t,
  'a standby coordinator that hangs stalls the catalog until the walsender gives up, no longer',
  async (t) => {
    const standby = cluster.facts.rows.find(({ content, role }) => content === -1 && role === 'm')
      ?.dbid as number
    await faults.inject(standby, 'fsync.wal.mirror.before', 'suspend', { end: -1 })
    await faults.inject(COORDINATOR, 'send.standby.mark', 'suspend', { end: -1 })
    const change = cluster.query('CREATE TABLE hung (id int) DISTRIBUTED BY (id)')
    await faults.reached(COORDINATOR, 'send.standby.mark')
    let over = false
    void change.then(() => (over = true))
    await cluster.cluster.state()
    t.equal(over, false, 'the segments are told first that the standby lacks WAL')
    await faults.resume(COORDINATOR, 'send.standby.mark')
    await change
    await cluster.query('DROP TABLE hung')
  },
)

for (const point of [
  'fts.failover.before',
  'fts.failover.after',
  'fts.mirror-down.before',
  'fts.mirror-down.after',
] as const)
  script.row(t, `the coordinator dies at ${point}: started again it goes on`, async (t) => {
    const { primary, mirror } = await script.pair(0)
    const failover = point.startsWith('fts.failover')
    await faults.inject(COORDINATOR, point, 'crash')
    await script.kill(failover ? primary.dbid : mirror.dbid)
    const write = script.insert(0)
    await script.died(COORDINATOR)
    await write.outcome
    await cluster.cluster.start()
    await script.writes(t, 'after its start')
    const now = await script.pair(0)
    // What was not recorded has not happened: the dead one is started where it was.
    const recorded = point.endsWith('after')
    t.equal(now.primary.dbid, failover && recorded ? mirror.dbid : primary.dbid)
    if (recorded) t.equal(now.is, 'pnu mnd')
  })

for (const point of [...PROMOTION_POINTS, 'fsync.files.before', 'state.role.before'] as const)
  script.row(t, `a mirror dies at ${point} of its promotion: started again it is primary`, async (t) => {
    const { primary, mirror } = await script.pair(0)
    await faults.inject(mirror.dbid, point, 'crash')
    await script.kill(primary.dbid)
    await script.died(mirror.dbid)
    await cluster.waitForCatalog('the record of the failover', (rows) =>
      rows.some(({ dbid, role }) => dbid === mirror.dbid && role === 'p'),
    )
    FaultPoints.atStart()
    await cluster.cluster.startInstance(mirror.dbid)
    await script.writes(t, 'after its start')
    t.equal((await script.pair(0)).primary.dbid, mirror.dbid)
  })
