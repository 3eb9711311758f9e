// `kill -9` of a primary under 16 writers: its mirror takes over, nothing acknowledged is lost or doubled, the other content goes on.
import t from 'tap'
import { describeVerdict, inSync, isFaultless, Load, TestCluster } from '@mirabelle/testkit/cluster'

const ROUNDS = Number(process.env['MIRABELLE_TEST_ROUNDS'] ?? 2)

// A busy machine starts a cluster slowly; the limits of the single waits are much lower.
t.setTimeout(300_000)

t.test('a primary killed under 16 writers is taken over and no acknowledged row is lost', async (t) => {
  const cluster = await TestCluster.start({ segments: 2 })
  t.teardown(() => cluster.close())
  const load = await Load.start(cluster, { count: 16, apart: true })
  t.teardown(() => load.stop())
  const failovers: number[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    await cluster.waitForCatalog('all pairs in sync', inSync)
    const content = round % 2
    await load.acks(200)
    const { dbid } = await cluster.primaryOf(content)
    const pid = (await cluster.pids()).get(dbid) as number
    const killedAt = performance.now()
    process.kill(pid, 'SIGKILL')
    const rows = await cluster.waitForCatalog(`a takeover of content ${content}`, (all) =>
      all.some((row) => row.dbid === dbid && row.role === 'm'),
    )
    const catalogMs = performance.now() - killedAt
    t.match(
      rows.find((row) => row.dbid === dbid),
      { role: 'm', status: 'd', mode: 'n' },
      'the old primary is a mirror, down, not in sync',
    )
    t.match(
      rows.find((row) => row.content === content && row.dbid !== dbid),
      { role: 'p', status: 'u', mode: 'n' },
      'the old mirror is the primary, up, not in sync',
    )
    const seenAt = performance.now()
    for (const one of [0, 1]) await load.acksOn(one, seenAt)
    const { endsAtMs } = load.ledger.longestGap(content, killedAt)
    const failoverMs = Math.round(endsAtMs - killedAt)
    const otherMs = Math.round(load.ledger.longestGap(1 - content, killedAt, endsAtMs).gapMs)
    failovers.push(failoverMs)
    t.comment(
      `content ${content}: first acknowledgement ${failoverMs} ms after the kill, in the catalog after ${Math.round(catalogMs)} ms; ` +
        `longest pause of the other content ${otherMs} ms; errors: ${JSON.stringify([...load.ledger.errors(killedAt)])}`,
    )
    t.ok(failoverMs < 10_000, 'taken over within ten seconds')
    t.ok(otherMs < 5_000, 'the other content goes on')
    await cluster.heal()
  }
  await load.stop()
  const verdict = await load.judge()
  t.comment(`${describeVerdict(verdict)}; failover ms: ${failovers.join(', ')}`)
  t.ok(isFaultless(verdict), 'nothing acknowledged is lost, nothing is doubled', { found: verdict })
  const history = await cluster.query<{ description: string }>(
    'SELECT description FROM gp_configuration_history ORDER BY time',
  )
  t.match(
    history.map(({ description }) => description).join('\n'),
    /FTS: update role, status, and mode for dbid \d+ with contentid 0 to m, d, and n/,
    'the history tells of it',
  )
})
