// The life cycle of an administrator, under load: fail over, recover, rebalance without a failing statement; lose the coordinator, activate the standby,
// make a new one on the old host, lose the new coordinator too, activate again: everything acknowledged is there.
import t from 'tap'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeVerdict, inSync, isFaultless, Load, TestCluster, waitFor } from '@mirabelle/testkit/cluster'

t.setTimeout(400_000)

const kill = async (cluster: TestCluster, dbid: number): Promise<void> => {
  process.kill((await cluster.pids()).get(dbid) as number, 'SIGKILL')
}

t.test('roles go back and forth and coordinators come and go; nothing acknowledged is lost', async (t) => {
  // It never ends by itself: nothing may wait for it.
  const told = join(t.testdir(), 'roles')
  const settings = { role_change_command: `log() { echo "$@" >> ${told}; sleep 60; }; log` }
  const cluster = await TestCluster.start({ segments: 2, settings })
  t.teardown(() => cluster.close())
  const load = await Load.start(cluster, { count: 8, apart: true })
  t.teardown(() => load.stop())
  await cluster.waitForCatalog('all pairs in sync', inSync)
  const { cluster: admin } = cluster

  await t.test('rebalance gives a failed-over pair its roles back, and no statement fails', async (t) => {
    t.same(await admin.rebalance(), [], 'nothing to do while all roles are preferred')
    const failed = await cluster.primaryOf(0)
    await kill(cluster, failed.dbid)
    await cluster.waitForCatalog('a takeover of content 0', (rows) =>
      rows.some((row) => row.dbid === failed.dbid && row.role === 'm'),
    )
    t.match(
      await admin.rebalance(),
      [
        {
          content: 0,
          outcome: 'skipped',
          message: /^Not rebalancing primary segment dbid \d+ with its mirror dbid/,
        },
      ],
      'a pair whose mirror is down is skipped',
    )
    await cluster.heal()
    await load.acks(50)
    const begunAt = performance.now()
    t.match(await admin.rebalance(), [{ dbid: failed.dbid, content: 0, outcome: 'done' }])
    const tookMs = Math.round(performance.now() - begunAt)
    const doneAt = performance.now()
    for (const content of [0, 1]) await load.acksOn(content, doneAt)
    const { gapMs } = load.ledger.longestGap(0, begunAt, doneAt)
    t.comment(`rebalance took ${tookMs} ms; content 0 paused for ${Math.round(gapMs)} ms`)
    t.same([...load.ledger.errors(begunAt)], [], 'no statement failed')
    const rows = await cluster.catalog()
    t.ok(
      rows.every((row) => row.role === row.preferred_role),
      'every row is in its preferred role',
    )
    t.ok(inSync(rows), 'and in sync')
  })

  await t.test('an activation, standby init on the old host, and another activation', async (t) => {
    const first = admin.coordinator
    await waitFor('a standby that streams', async () => (await admin.state()).cluster.standby === 'streaming')
    await t.rejects(admin.initStandby(), /standby coordinator already configured/)
    await kill(cluster, first.dbid)
    const activated = await admin.activateStandby()
    const [from, to] = [cluster.instance(first.dbid), cluster.instance(activated.dbid)]
    const wanted = [
      `coordinator ${from.hostname} ${from.port}`,
      `standby ${to.hostname} ${to.port}`,
      `coordinator ${to.hostname} ${to.port}`,
    ]
    const heard = await waitFor('the role changes in what the command wrote', () => {
      const lines = readFileSync(told, 'utf8').trim().split('\n')
      return lines.length >= 3 && lines
    })
    t.same([...heard].sort(), [...wanted].sort(), 'role_change_command was told, and nothing waited for it')
    t.equal(heard.at(-1), wanted.at(-1))
    t.equal((await admin.state()).cluster.standby, 'none')
    const begunAt = performance.now()
    const [made] = await admin.initStandby()
    t.match(made, { outcome: 'done' })
    t.comment(`standby init took ${Math.round(performance.now() - begunAt)} ms`)
    t.equal(admin.standby?.port, first.port, 'the new standby has the port of the coordinator that was lost')
    t.not(admin.standby?.dbid, first.dbid, 'but is another instance')
    t.ok(existsSync(cluster.instance(first.dbid).datadir), 'the folder of the old one is untouched')
    t.match(
      (await cluster.catalog()).filter(({ content }) => content === -1),
      [
        { dbid: activated.dbid, role: 'p' },
        { dbid: made?.dbid, role: 'm', preferred_role: 'm', mode: 's', status: 'u', port: first.port },
      ],
    )
    await load.acks(50)
    await kill(cluster, activated.dbid)
    const again = await admin.activateStandby()
    t.equal(again.dbid, made?.dbid)
    t.ok(again.epoch > activated.epoch, 'the epoch has grown again')
    await load.acks(50)
  })

  await t.test('a standby is removed with its folder, made anew, and brought back by a copy', async (t) => {
    t.match(await admin.initStandby(), [{ outcome: 'done' }])
    t.match(await admin.removeStandby(), [{ outcome: 'done' }])
    t.equal(admin.standby, null)
    t.equal((await admin.state()).cluster.standby, 'none')
    const [made] = await admin.initStandby()
    t.match(made, { outcome: 'done' })
    await kill(cluster, made?.dbid as number)
    await waitFor('a standby that is missed', async () => (await admin.state()).cluster.standby === 'down')
    await load.acks(20)
    t.match(await admin.resyncStandby(), [{ dbid: made?.dbid, outcome: 'done' }])
    t.equal((await admin.state()).cluster.standby, 'streaming')
  })

  await load.stop()
  const verdict = await load.judge()
  t.comment(describeVerdict(verdict))
  t.ok(isFaultless(verdict), 'nothing acknowledged is lost, nothing is doubled', { found: verdict })
})
