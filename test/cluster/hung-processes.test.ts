// SIGSTOP: a hung primary is taken over and answers nothing when it wakes up, fenced by its agent or, without one, by itself; a hung mirror
// does not hold commits for long.
import t from 'tap'
import type { Message } from '@mirabelle/messages'
import { describeVerdict, inSync, isFaultless, Load, TestCluster, waitFor } from '@mirabelle/testkit/cluster'

// A busy machine starts a cluster slowly; the limits of the single waits are much lower.
t.setTimeout(300_000)

t.test('a hung process is replaced and does no harm when it wakes up', async (t) => {
  const cluster = await TestCluster.start({ segments: 2 })
  t.teardown(() => cluster.close())
  const load = await Load.start(cluster, { count: 8, apart: true })
  t.teardown(() => load.stop())

  /** Stops the process of a primary and waits until its mirror serves. */
  const hang = async (content: number, before: (dbid: number) => Promise<void> = async () => {}) => {
    await cluster.waitForCatalog('all pairs in sync', inSync)
    await load.acks(100)
    const { dbid } = await cluster.primaryOf(content)
    const pid = (await cluster.pids()).get(dbid) as number
    await before(dbid)
    const stoppedAt = performance.now()
    process.kill(pid, 'SIGSTOP')
    await cluster.waitForCatalog(`a takeover of content ${content}`, (all) =>
      all.some((row) => row.dbid === dbid && row.role === 'm' && row.status === 'd'),
    )
    const seenAt = performance.now()
    for (const one of [0, 1]) await load.acksOn(one, seenAt)
    const { endsAtMs } = load.ledger.longestGap(content, stoppedAt)
    t.comment(
      `content ${content}: first acknowledgement ${Math.round(endsAtMs - stoppedAt)} ms after SIGSTOP; longest pause of the other content ${Math.round(load.ledger.longestGap(1 - content, stoppedAt, endsAtMs).gapMs)} ms`,
    )
    t.ok(endsAtMs - stoppedAt < 15_000, 'taken over within fifteen seconds')
    return { dbid, pid }
  }

  await t.test('a hung primary is killed by its agent', async (t) => {
    const { dbid, pid } = await hang(0)
    await waitFor('the end of the hung process', async () => (await cluster.pids()).get(dbid) !== pid)
    t.throws(() => process.kill(pid, 0), { code: 'ESRCH' }, 'its process is gone')
    await cluster.heal()
  })

  await t.test(
    'a primary that hung, and that no agent could kill, fences itself when it wakes up',
    async (t) => {
      const { dbid, pid } = await hang(1, async (dbid) => {
        const agent = await cluster.ask(cluster.agentOf(dbid), { type: 'agent.status' })
        process.kill(agent.pid, 'SIGKILL')
      })
      const { endpoint } = cluster.instance(dbid)
      process.kill(pid, 'SIGCONT')
      const wokeAt = performance.now()
      const answers = new Set<string>()
      let served = false
      await waitFor(`dbid ${dbid} to be fenced`, async () => {
        const { said, answered } = await tryToUse(cluster, dbid)
        answers.add(said)
        served ||= answered
        const status = await cluster.ask(endpoint, { type: 'instance.status' }).catch(() => undefined)
        return status === undefined || !['primary', 'starting'].includes(status.roleState)
      })
      t.comment(
        `fenced ${Math.round(performance.now() - wokeAt)} ms after SIGCONT; whoever asked it got: ${[...answers].join(' | ')}`,
      )
      t.notOk(served, 'no statement is answered')
      t.notOk((await tryToUse(cluster, dbid)).answered, 'nor later')
      // A start makes the agent run again; it finds the process and what has become of it.
      await cluster.cluster.start()
      await cluster.heal()
    },
  )

  await t.test('a hung mirror holds commits only until it is marked down', async (t) => {
    await cluster.waitForCatalog('all pairs in sync', inSync)
    await load.acks(100)
    const { dbid } = await cluster.mirrorOf(0)
    const pid = (await cluster.pids()).get(dbid) as number
    const stoppedAt = performance.now()
    process.kill(pid, 'SIGSTOP')
    await cluster.waitForCatalog('the mirror to be down', (all) =>
      all.some((row) => row.dbid === dbid && row.role === 'm' && row.status === 'd' && row.mode === 'n'),
    )
    const seenAt = performance.now()
    for (const one of [0, 1]) await load.acksOn(one, seenAt)
    const { gapMs } = load.ledger.longestGap(0, stoppedAt)
    t.comment(`longest pause of content 0: ${Math.round(gapMs)} ms`)
    t.ok(gapMs < 20_000, 'commits go on')
    process.kill(pid, 'SIGCONT')
    await cluster.heal()
  })

  await load.stop()
  const verdict = await load.judge()
  t.comment(`${describeVerdict(verdict)}; ${JSON.stringify([...load.ledger.errors()])}`)
  t.ok(isFaultless(verdict), 'nothing acknowledged is lost, nothing is doubled', { found: verdict })
})

/** Acts as the coordinator that the woken primary knew: opens its lane and reads. */
async function tryToUse(
  cluster: TestCluster,
  dbid: number,
): Promise<{ readonly said: string; readonly answered: boolean }> {
  const { endpoint, content } = cluster.instance(dbid)
  const { epoch } = (await cluster.cluster.state()).cluster
  const answers: Message[] = []
  try {
    const as = { kind: 'instance', dbid: 1, purpose: 'dispatch', epoch } as const
    const connection = await cluster.dial(endpoint, as)
    connection.setHandlers({ onMessage: (message) => answers.push(message), onClose: () => undefined })
    try {
      const open = { type: 'dispatch.open', dbid, content, epoch, incarnation: 'test', nextSeq: 1 } as const
      await connection.request(open, 3_000)
      const query = Buffer.from('SELECT 1\0')
      const head = Buffer.alloc(5)
      head.write('Q')
      head.writeUInt32BE(4 + query.length, 1)
      connection.send({ type: 'query.dispatch', items: [[1, 1, 0, 0, Buffer.concat([head, query])]] })
      await waitFor('an answer', () => connection.closed || answers.length > 0, 1_500).catch(() => undefined)
    } finally {
      connection.close()
    }
    const kinds = answers.map(({ type }) => type).join(', ')
    return {
      said: `lane opened, ${kinds === '' ? 'no answer' : kinds}`,
      answered: kinds.includes('query.done'),
    }
  } catch (error) {
    return { said: (error as Error).message, answered: false }
  }
}
