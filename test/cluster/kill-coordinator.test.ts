// `kill -9` of the coordinator under load, `standby activate`: nothing acknowledged is lost, two-phase transactions are whole or not at all, and the
// old coordinator, started again as it was, gives up.
import t from 'tap'
import { connect } from 'node:net'
import {
  describeVerdict,
  inSync,
  isFaultless,
  Load,
  LogWatch,
  TestCluster,
  waitFor,
} from '@mirabelle/testkit/cluster'

const SUPERSEDED = /Standby activated, this node no more can act as coordinator/

t.test('a standby activated after its coordinator was killed has everything', async (t) => {
  const cluster = await TestCluster.start({ segments: 2 })
  t.teardown(() => cluster.close())
  const load = await Load.start(cluster, { count: 12, kinds: ['one', 'many', 'transaction'] })
  t.teardown(() => load.stop())
  await cluster.waitForCatalog('all pairs in sync', inSync)
  await waitFor('a standby that streams', async () => {
    return (await cluster.cluster.state()).cluster.standby === 'streaming'
  })
  await load.acks(150)
  const old = cluster.cluster.coordinator
  const standby = cluster.cluster.standby
  const assignment = await cluster.lastAssignment(old.dbid)
  process.kill((await cluster.pids()).get(old.dbid) as number, 'SIGKILL')
  const askedAt = performance.now()
  const report = await cluster.cluster.activateStandby()
  const activatedMs = Math.round(performance.now() - askedAt)
  const activatedAt = performance.now()
  for (const content of [0, 1]) await load.acksOn(content, activatedAt)
  const first = Math.min(
    ...load.ledger.units
      // Answers that the dead coordinator had sent may still have been on their way.
      .filter(({ outcome, beganAtMs }) => outcome === 'acked' && beganAtMs > askedAt)
      .map(({ endedAtMs }) => endedAtMs),
  )
  t.comment(
    `activation took ${activatedMs} ms; first acknowledgement by the new coordinator ${Math.round(first - askedAt)} ms after it was asked for`,
  )
  t.equal(report.dbid, standby?.dbid)
  t.ok(report.epoch > assignment.epoch, 'the epoch has grown')
  t.ok(first - askedAt < 10_000, 'clients write again within ten seconds')

  const state = await cluster.cluster.state()
  t.equal(state.cluster.inDoubt, 0, 'no distributed transaction is in doubt')
  t.same(
    (await cluster.catalog()).filter(({ content }) => content === -1).map(({ dbid, role }) => [dbid, role]),
    [[report.dbid, 'p']],
    'the old coordinator is no more in the catalog',
  )

  await t.test('the old coordinator, started again, refuses and says why', async (t) => {
    const log = await LogWatch.of(...cluster.logsOf(old.dbid))
    const started = await cluster.ask(cluster.agentOf(old.dbid), { type: 'agent.start', assignment })
    t.type(started.pid, 'number')
    const answers: string[] = []
    await waitFor('the end of the old coordinator', async () => {
      answers.push(await knock(old.host, old.port))
      return !(await cluster.pids()).has(old.dbid)
    })
    t.match((await log.lines()).join('\n'), SUPERSEDED, 'it logs the reason')
    t.notOk(answers.includes('let in'), 'no client was let in meanwhile')
    t.comment(`clients that knocked got: ${[...new Set(answers)].join(' | ')}`)
    await t.rejects(
      cluster.cluster.startInstance(old.dbid),
      SUPERSEDED,
      'who starts it by hand is told the reason',
    )
  })

  await load.acks(50)
  await load.stop()
  const verdict = await load.judge()
  t.comment(`${describeVerdict(verdict)}; ${JSON.stringify([...load.ledger.errors()])}`)
  t.ok(isFaultless(verdict), 'nothing acknowledged is lost, transactions are whole or not at all', {
    found: verdict,
  })
})

/** Asks a front door to be let in; resolves with `let in`, or with what it says instead. */
function knock(host: string, port: number): Promise<string> {
  const body = Buffer.from('user\0postgres\0database\0postgres\0\0')
  const head = Buffer.alloc(8)
  head.writeUInt32BE(8 + body.length, 0)
  head.writeUInt32BE(196_608, 4)
  return new Promise((resolve) => {
    const socket = connect({ host, port }, () => socket.write(Buffer.concat([head, body])))
    socket.setTimeout(2_000, () => socket.destroy(new Error('no answer')))
    socket.once('data', (bytes) => {
      socket.destroy()
      const text = bytes.toString('utf8')
      resolve(text.startsWith('E') ? (/\0M([^\0]*)/.exec(text)?.[1] ?? text) : 'let in')
    })
    socket.once('error', (error) => resolve(error.message))
    socket.once('close', () => resolve('closed without a word'))
  })
}
