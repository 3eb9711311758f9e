// Activation of the standby coordinator, which dies at each step of it: run again, the activation ends what it began, nothing acknowledged is lost, two-phase
// transactions are whole, and the old coordinator stays out. `npx tap --timeout=3600 test/cluster/activation-rows.long.test.ts`
import { rm } from 'node:fs/promises'
import t from 'tap'
import type { Test } from 'tap'
import type { FaultPoint } from '@mirabelle/messages'
import { FaultPoints } from '@mirabelle/testkit/cluster'
import { Script, type Running } from './fault-script.ts'

t.setTimeout(3_600_000)

const script = await Script.start(t)
const { faults, cluster } = script

/** From a coordinator that is about to be lost to a cluster with a new one and a new standby. `work` gets both dbids. */
function row(name: string, work: (t: Test, old: number, standby: number) => Promise<void>): void {
  script.row(t, name, async (t) => {
    const { coordinatorDbid: old, standbyDbid } = await cluster.lookAgain()
    const standby = standbyDbid as number
    await work(t, old, standby)
    await cluster.lookAgain()
    await script.writes(t, 'after the activation')
    const rows = (await cluster.catalog()).filter(({ content }) => content === -1)
    t.match(rows, [{ dbid: standby, role: 'p', preferred_role: 'p', status: 'u' }])
    t.equal(rows.length, 1, 'the old coordinator is not in the catalog')
    await t.rejects(
      cluster.cluster.startInstance(old),
      /Standby activated, this node no more can act as coordinator/,
    )
    await script.writes(t, 'after the old one has tried')
    t.match(await cluster.cluster.initStandby(), [{ outcome: 'done' }])
    await cluster.lookAgain()
  })
}

for (const point of [
  'activation.checked',
  'activation.claimed',
  'activation.promised',
  'promotion.begin',
  'promotion.sync-rep-off',
  'promotion.recovered',
  'promotion.role',
  'promotion.assigned',
  'activation.promoted',
  'activation.epoch',
  'activation.recorded',
  'activation.service',
  'activation.lanes',
  'activation.open',
] as const satisfies readonly FaultPoint[])
  row(`the standby dies at ${point} of its activation, which is run again`, async (t, old, standby) => {
    await script.kill(old)
    await faults.inject(standby, point, 'crash')
    await t.rejects(cluster.cluster.activateStandby(), 'it died meanwhile')
    await script.died(standby)
    FaultPoints.atStart()
    const report = await cluster.cluster.activateStandby()
    t.equal(report.dbid, standby)
  })

script.row(
  t,
  'the standby dies in the middle of its activation and is lost: the old coordinator takes over again',
  async (t) => {
    const { coordinatorDbid: old, standbyDbid } = await cluster.lookAgain()
    const standby = standbyDbid as number
    await script.kill(old)
    await faults.inject(standby, 'activation.claimed', 'crash')
    await t.rejects(cluster.cluster.activateStandby(), 'it died meanwhile')
    await script.died(standby)
    FaultPoints.atStart()
    await rm(cluster.instance(standby).datadir, { recursive: true })
    await t.rejects(
      cluster.cluster.start(),
      new RegExp(`"mirabelle start --accept-data-loss -1" makes dbid ${old} the coordinator again`),
    )
    await cluster.cluster.start({ acceptDataLoss: [-1] })
    await cluster.lookAgain()
    const rows = (await cluster.catalog()).filter(({ content }) => content === -1)
    t.match(rows, [{ dbid: old, role: 'p', status: 'u' }])
    t.equal(rows.length, 1, 'the standby is not in the catalog')
    await script.writes(t, 'after it was reclaimed')
    t.match(await cluster.cluster.initStandby(), [{ outcome: 'done' }])
    await cluster.lookAgain()
  },
)

for (const [point, outcome] of [
  ['two-phase.prepared', 'either'],
  ['two-phase.all-prepared', 'commit'],
  ['two-phase.end', 'commit'],
] as const)
  row(`the coordinator dies at ${point}, and its standby takes over: ${outcome}`, async (t, old) => {
    await faults.inject(old, point, 'crash')
    const write: Running = script.insert(0, 1)
    await script.died(old)
    await write.outcome
    await cluster.cluster.activateStandby()
    const rows = (await cluster.query(`SELECT id FROM book WHERE id IN (${write.ids.join(',')})`)).length
    t.ok(rows === 0 || rows === 2)
    if (outcome === 'commit') t.equal(rows, 2)
    t.equal((await cluster.cluster.state()).cluster.inDoubt, 0)
  })

row(
  'the new coordinator dies while it resolves: started again it ends what it began',
  async (t, old, standby) => {
    await faults.inject(old, 'two-phase.all-prepared', 'crash')
    const write = script.insert(0, 1)
    await script.died(old)
    await write.outcome
    await faults.inject(standby, 'resolution.verdict', 'crash')
    await cluster.cluster.activateStandby().catch(() => undefined) // it may answer before it dies
    await script.died(standby)
    FaultPoints.atStart()
    await cluster.cluster.activateStandby()
    t.equal((await cluster.query(`SELECT id FROM book WHERE id IN (${write.ids.join(',')})`)).length, 2)
  },
)

row('a coordinator that was suspended comes back after the activation: it answers nobody', async (t, old) => {
  // It hangs as a stopped machine does: it must be taken over without its consent.
  await cluster.cluster.kill(old, 'SIGSTOP')
  await cluster.cluster.activateStandby()
  await script.writes(t, 'meanwhile')
  await cluster.cluster.kill(old, 'SIGCONT')
  await script.died(old)
})
