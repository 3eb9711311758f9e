// Two-phase commit and its resolution, row by row, on real processes that die at their fault points: a transaction that wrote on two contents is there on both or
// on none, and what a client was told stays true. `npx tap --timeout=3600 test/cluster/two-phase-rows.long.test.ts`
import t from 'tap'
import type { FaultPoint } from '@mirabelle/messages'
import { FaultPoints } from '@mirabelle/testkit/cluster'
import { COORDINATOR, Script } from './fault-script.ts'

t.setTimeout(3_600_000)

const script = await Script.start(t)
const { faults, cluster } = script

/** How many of the rows are there. */
async function there(ids: readonly number[]): Promise<number> {
  return (await cluster.query(`SELECT id FROM book WHERE id IN (${ids.join(',')})`)).length
}

/** No content holds anything prepared, and nothing is in doubt. */
async function nothingPrepared(): Promise<number> {
  return (await cluster.cluster.state()).cluster.inDoubt
}

for (const how of ['dies before PREPARE is sent', 'gets PREPARE and dies before it runs'] as const)
  for (const kind of ['transaction', 'insert'] as const)
    script.row(
      t,
      `(1) not prepared: a segment ${how}, under an ${kind === 'insert' ? 'autocommit statement' : 'explicit transaction'}`,
      async (t) => {
        const { primary } = await script.pair(0)
        await faults.inject(COORDINATOR, 'two-phase.prepare', 'suspend', { content: 0 })
        const write = script[kind](0, 1)
        await faults.reached(COORDINATOR, 'two-phase.prepare')
        if (how.startsWith('gets')) await faults.inject(primary.dbid, 'receive.query.dispatch', 'crash')
        else await script.kill(primary.dbid)
        await faults.resume(COORDINATOR, 'two-phase.prepare')
        await script.died(primary.dbid)
        const failure = await write.outcome
        if (kind === 'transaction')
          t.match(failure, { code: '40001' }, 'aborted everywhere: it may be run again')
        else t.equal(failure, undefined, 'aborted everywhere, and run again by itself')
        t.equal(await there(write.ids), kind === 'transaction' ? 0 : 2)
        await script.writes(t, 'afterwards')
      },
    )

script.row(
  t,
  '(1) not prepared: another transaction has the new primary meanwhile, and is not prepared in its place',
  async (t) => {
    const { primary } = await script.pair(0)
    const other = await cluster.connect()
    t.teardown(() => other.end())
    await faults.inject(COORDINATOR, 'two-phase.prepare', 'suspend', { content: 0 })
    const write = script.transaction(0, 1)
    await faults.reached(COORDINATOR, 'two-phase.prepare')
    await script.kill(primary.dbid)
    await script.died(primary.dbid)
    await other.query('BEGIN')
    await other.query('SELECT FROM book WHERE id = $1', [script.id(0)])
    await faults.resume(COORDINATOR, 'two-phase.prepare')
    t.match(await write.outcome, { code: '40001' })
    await other.query('SELECT FROM book WHERE id = $1', [script.id(0)])
    t.equal((await other.query('COMMIT')).command, 'COMMIT')
    t.equal(await nothingPrepared(), 0)
    await script.writes(t, 'afterwards')
  },
)

script.row(
  t,
  '(1) prepared there, and the answer is lost with the segment: aborted, or committed, on both',
  async (t) => {
    const { primary } = await script.pair(0)
    await faults.inject(COORDINATOR, 'two-phase.prepare', 'suspend', { content: 0 })
    const write = script.insert(0, 1)
    await faults.reached(COORDINATOR, 'two-phase.prepare')
    await faults.inject(primary.dbid, 'send.query.done', 'crash')
    await faults.resume(COORDINATOR, 'two-phase.prepare')
    await script.died(primary.dbid)
    const failure = await write.outcome
    t.equal(await there(write.ids), failure === undefined ? 2 : 0, `${failure?.message}`)
  },
)

for (const point of ['two-phase.all-prepared', 'two-phase.decided', 'two-phase.end'] as const)
  script.row(
    t,
    `(2) all prepared, a primary dies at ${point}: the commit completes on the promoted mirror`,
    async (t) => {
      const { primary, mirror } = await script.pair(0)
      await faults.inject(COORDINATOR, point, 'suspend', point === 'two-phase.end' ? { content: 0 } : {})
      const write = script.insert(0, 1)
      await faults.reached(COORDINATOR, point)
      await script.kill(primary.dbid)
      await script.died(primary.dbid)
      await faults.resume(COORDINATOR, point)
      const failure = await write.outcome
      if (point !== 'two-phase.all-prepared')
        t.equal(failure, undefined, 'the client is told that it is committed')
      await script.writes(t, 'afterwards')
      t.equal(await there(write.ids), failure === undefined ? 2 : 0)
      t.equal((await script.pair(0)).primary.dbid, mirror.dbid)
    },
  )

script.row(
  t,
  '(3) COMMIT PREPARED has run and is not acknowledged: it is not run twice, and it is there',
  async (t) => {
    const { primary } = await script.pair(0)
    await faults.inject(COORDINATOR, 'two-phase.end', 'suspend', { content: 0 })
    const write = script.insert(0, 1)
    await faults.reached(COORDINATOR, 'two-phase.end')
    t.equal(await write.outcome, undefined, 'nobody waits for it')
    await faults.inject(primary.dbid, 'send.query.done', 'crash')
    await faults.resume(COORDINATOR, 'two-phase.end')
    await script.died(primary.dbid)
    await script.writes(t, 'afterwards')
    t.equal(await there(write.ids), 2)
  },
)

script.row(t, '(3) COMMIT PREPARED reaches the segment, which dies before it runs', async (t) => {
  const { primary } = await script.pair(0)
  await faults.inject(COORDINATOR, 'two-phase.end', 'suspend', { content: 0 })
  const write = script.insert(0, 1)
  await faults.reached(COORDINATOR, 'two-phase.end')
  t.equal(await write.outcome, undefined)
  await faults.inject(primary.dbid, 'receive.query.dispatch', 'crash')
  await faults.resume(COORDINATOR, 'two-phase.end')
  await script.died(primary.dbid)
  await script.writes(t, 'afterwards')
  t.equal(await there(write.ids), 2)
})

script.row(
  t,
  'a mirror goes while a transaction is prepared: it waits for the record, then it is committed',
  async (t) => {
    const { mirror } = await script.pair(0)
    await faults.inject(mirror.dbid, 'fsync.wal.mirror.before', 'suspend', { end: -1 })
    await faults.inject(COORDINATOR, 'fts.mirror-down.after', 'suspend')
    const write = script.insert(0, 1)
    await faults.reached(mirror.dbid, 'fsync.wal.mirror.before')
    await script.kill(mirror.dbid)
    await faults.reached(COORDINATOR, 'fts.mirror-down.after')
    t.equal(write.over, false)
    await faults.resume(COORDINATOR, 'fts.mirror-down.after')
    const failure = await write.outcome
    t.equal(await there(write.ids), failure === undefined ? 2 : 0)
  },
)

const coordinatorDies: readonly (readonly [FaultPoint, 'commit' | 'abort' | 'either'])[] = [
  ['two-phase.begin', 'abort'],
  ['two-phase.prepare', 'abort'],
  ['two-phase.prepared', 'either'],
  ['two-phase.all-prepared', 'commit'],
  ['two-phase.decided', 'commit'],
  ['two-phase.end', 'commit'],
  ['two-phase.ended', 'commit'],
]
for (const [point, outcome] of coordinatorDies)
  script.row(t, `the coordinator dies at ${point}, and is started again: ${outcome}`, async (t) => {
    await faults.inject(COORDINATOR, point, 'crash')
    const write = script.insert(0, 1)
    await script.died(COORDINATOR)
    await write.outcome
    await cluster.cluster.start()
    await script.writes(t, 'afterwards')
    const rows = await there(write.ids)
    if (outcome !== 'either') t.equal(rows, outcome === 'commit' ? 2 : 0)
    t.ok(rows === 0 || rows === 2)
    t.equal(await nothingPrepared(), 0)
  })

for (const point of [
  'resolution.begin',
  'resolution.listed',
  'resolution.verdict',
  'resolution.ended',
  'resolution.end',
] as const)
  script.row(
    t,
    `a coordinator that resolves dies at ${point}: the next one ends what it began`,
    async (t) => {
      await faults.inject(COORDINATOR, 'two-phase.all-prepared', 'crash')
      const write = script.insert(0, 1)
      await script.died(COORDINATOR)
      await write.outcome
      FaultPoints.atStart(`${point}=crash,in=dbid${COORDINATOR},content=0`)
      await cluster.cluster.start().catch(() => undefined) // it dies before it is up
      await script.died(COORDINATOR)
      FaultPoints.atStart()
      await cluster.cluster.start()
      await script.writes(t, 'afterwards')
      t.equal(await there(write.ids), 2, 'all had prepared it: it is committed')
      t.equal(await nothingPrepared(), 0)
    },
  )

for (const point of ['resolution.listed', 'resolution.verdict', 'resolution.ended'] as const)
  script.row(t, `a primary dies while the coordinator resolves there, at ${point}`, async (t) => {
    const { primary } = await script.pair(0)
    await faults.inject(COORDINATOR, 'two-phase.all-prepared', 'crash')
    const write = script.insert(0, 1)
    await script.died(COORDINATOR)
    await write.outcome
    FaultPoints.atStart(`${point}=suspend,in=dbid${COORDINATOR},content=0`)
    const started = cluster.cluster.start()
    await faults.reached(COORDINATOR, point)
    // The start that is under way may bring it back at once.
    await script.died(primary.dbid, await script.kill(primary.dbid))
    await faults.resume(COORDINATOR, point)
    await started
    FaultPoints.atStart()
    await script.writes(t, 'afterwards')
    t.equal(await there(write.ids), 2)
  })
