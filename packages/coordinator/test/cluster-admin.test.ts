import t from 'tap'
import { MirabelleError, type Message, type SegmentRow } from '@mirabelle/messages'
import { silentLogger, type Hello } from '@mirabelle/runtime'
import { startInstances, recoverOne, markStandby, type AdminSources } from '../src/ha/cluster-admin.ts'
import { putStrangersAway } from '../src/ha/mirrors/strangers.ts'
import { WorkList } from '../src/ha/mirrors/work-list.ts'
import { PeerLink } from '../src/ha/peer-links.ts'
import { SegmentLinks } from '../src/ha/segment-links.ts'
import { Topology } from '../src/ha/topology.ts'
import { FakeNetwork } from './support/fake-network.ts'
import { fakePorts } from './support/fake-ports.ts'
import { ManualClock, settle } from './support/manual-clock.ts'

const row = (dbid: number, content: number, role: 'p' | 'm', over: Partial<SegmentRow> = {}): SegmentRow => ({
  dbid,
  content,
  role,
  preferredRole: role,
  mode: 's',
  status: 'u',
  port: 7000 + dbid,
  hostname: dbid === 3 ? 'far' : 'near',
  address: '127.0.0.1',
  datadir: `/data/${dbid}`,
  endpoint: { addresses: ['127.0.0.1'], port: 8000 + dbid },
  ...over,
})

const NEAR = 9001
const FAR = 9002

/** What an agent says that knows these instances. */
const knows = (...dbids: number[]): Message =>
  ({ type: 'agent.statusIs', instances: dbids.map((dbid) => ({ dbid, datadir: `/data/${dbid}` })) }) as never

function setUp(rows: readonly SegmentRow[]) {
  const clock = new ManualClock()
  const network = new FakeNetwork(clock)
  const ports = fakePorts(clock, { network })
  const topology = new Topology(
    {
      clusterId: 'c',
      epoch: 1,
      mirroring: 'group',
      rows,
      hosts: [
        { hostname: 'near', agent: { addresses: ['127.0.0.1'], port: NEAR } },
        { hostname: 'far', agent: { addresses: ['127.0.0.1'], port: FAR } },
      ],
      settings: {},
    },
    { load: () => Promise.reject(new Error('unused')), change: () => Promise.resolve() },
  )
  const lost: string[] = []
  const links = new SegmentLinks({
    ports,
    topology,
    hello: () => ({}) as Hello,
    onDeath() {},
    onInstanceLost: (dbid, reason) => lost.push(`${dbid} ${reason.code}`),
  })
  const admin: AdminSources = { topology, links, fts: () => undefined, clock, log: silentLogger, ownDbid: 1 }
  return { clock, network, ports, topology, links, admin, lost }
}

t.test('a link is made once, made again after a loss, and refuses after its close', async (t) => {
  const { network, ports, clock } = setUp([])
  network.answers.set(1, () => ({ type: 'ok' }))
  const lost: string[] = []
  const link = new PeerLink({
    ports,
    name: 'peer',
    endpoint: { addresses: ['127.0.0.1'], port: 1 },
    hello: () => ({}) as Hello,
    silenceTimeoutMs: () => 0,
    onLost: (reason) => lost.push(reason.code),
  })
  const ask = () => link.request({ type: 'cluster.probe' }, 100)
  await Promise.all([ask(), ask()])
  t.equal(network.connections.length, 1)
  network.connections[0]?.cut()
  await settle()
  t.same(lost, ['connection.lost'])
  t.notOk(link.connected)
  await ask()
  t.equal(network.connections.length, 2)
  link.close()
  await settle()
  t.equal(lost.length, 1, 'an own close is no loss')
  await t.rejects(ask(), { code: 'connection.lost' })
  t.equal(clock.pending, 0)
})

t.test('an instance that gives no answer in time gets a new connection', async (t) => {
  const primary = row(2, 0, 'p')
  const { network, links, clock } = setUp([primary])
  network.answers.set(8002, () => undefined)
  const refused = t.rejects(links.probe(primary, 100), { code: 'timeout' })
  await clock.advance(200)
  await refused
  t.ok(network.connections[0]?.closed)
  network.answers.set(8002, () => new MirabelleError('not.ready', 'starting'))
  await t.rejects(links.probe(primary, 100), { code: 'not.ready' })
  t.equal(network.connections.length, 2)
  t.notOk(network.connections[1]?.closed, 'an answer, even a refusal, proves the connection')
})

t.test('start skips what is marked down, and a host out of reach fails alone', async (t) => {
  const { network, admin } = setUp([
    row(1, -1, 'p'),
    row(2, 0, 'p'),
    row(3, 0, 'm'),
    row(4, 1, 'm', { status: 'd' }),
  ])
  network.answers.set(NEAR, (message) =>
    message.type === 'agent.start'
      ? { type: 'agent.started', dbid: message.assignment.dbid, pid: 42 }
      : undefined,
  )
  const results = await startInstances(admin)
  t.same(
    results.map(({ dbid, outcome }) => [dbid, outcome]),
    [
      [2, 'done'],
      [3, 'failed'],
      [4, 'skipped'],
    ],
  )
  t.match(results[1]?.message, /nobody at 9002/)
  t.match(results[2]?.message, /mirabelle recover/)
})

const limits = { mode: 'auto', timeoutMs: 500, maxRate: null } as const
const down = row(3, 0, 'm', { status: 'd', mode: 'n' })

t.test('recover needs an acting primary, and a host that can be reached', async (t) => {
  const { network, admin } = setUp([row(2, 0, 'p', { mode: 'n' }), down])
  t.match(await recoverOne(down, limits, admin), {
    dbid: 3,
    outcome: 'failed',
    message: /recovery source segment near \(content 0\) is unreachable/,
  })
  network.answers.set(8002, () => ({ type: 'instance.statusIs', role: 'm' }) as Message)
  t.match(await recoverOne(down, limits, admin), { message: /is not a primary/ })
  network.answers.set(8002, () => ({ type: 'instance.statusIs', role: 'p' }) as Message)
  t.match(await recoverOne(down, limits, admin), {
    outcome: 'failed',
    message: /Not recovering segment 3 because far is unreachable/,
  })
})

t.test('recover waits for a primary that a failover has just named, and not for ever', async (t) => {
  const { network, admin, clock } = setUp([row(2, 0, 'p', { mode: 'n' }), down])
  const states = ['starting', 'mirror', 'mirror'].map((roleState) => ({ role: 'm', roleState }))
  network.answers.set(
    8002,
    () =>
      ({
        type: 'instance.statusIs',
        ...(states.shift() ?? { role: 'p', roleState: 'promoting' }),
      }) as Message,
  )
  const done = recoverOne(down, limits, admin)
  await clock.advance(200)
  t.same(states, [], 'it was asked until it was primary')
  t.match(await done, { message: /Not recovering segment 3 because far is unreachable/ })

  network.answers.set(8002, () => ({ type: 'instance.statusIs', role: 'm', roleState: 'mirror' }) as Message)
  const inVain = recoverOne(down, limits, admin)
  await clock.advance(31_000)
  t.match(await inVain, { message: /is not a primary/ })
})

t.test(
  'recover stops what still runs, starts it as mirror, and is done when the pair is in sync',
  async (t) => {
    const { network, admin, topology, clock } = setUp([row(2, 0, 'p', { mode: 'n' }), down])
    const asked: string[] = []
    network.answers.set(8002, () => ({ type: 'instance.statusIs', role: 'p' }) as Message)
    network.answers.set(
      8003,
      () => ({ type: 'instance.statusIs', roleState: 'mirror', detail: '' }) as Message,
    )
    network.answers.set(FAR, (message) => {
      asked.push(message.type)
      if (message.type === 'agent.stop') return { type: 'agent.stopped', dbid: 3, wasRunning: true }
      if (message.type === 'agent.status') return knows(3)
      if (message.type !== 'agent.start') return undefined
      t.match(message.assignment, { role: 'm', peer: { dbid: 2 } })
      return { type: 'agent.started', dbid: 3, pid: 7 }
    })
    const done = recoverOne(down, limits, admin)
    await clock.advance(150)
    await topology.change({
      rows: [
        { dbid: 2, role: 'p', mode: 's', status: 'u' },
        { dbid: 3, role: 'm', mode: 's', status: 'u' },
      ],
    })
    await clock.advance(150)
    t.match(await done, { dbid: 3, outcome: 'done' })
    t.same(asked, ['agent.stop', 'agent.status', 'agent.start'])
  },
)

t.test('on a machine that has taken the place of another one the folder is made first', async (t) => {
  for (const [mode, wanted] of [
    ['full', ['agent.stop', 'agent.status', 'agent.create', 'agent.start']],
    ['auto', ['agent.stop', 'agent.status', 'agent.create', 'agent.start']],
    ['incremental', ['agent.stop', 'agent.start']],
  ] as const) {
    const { network, admin, clock } = setUp([row(2, 0, 'p', { mode: 'n' }), down])
    const asked: string[] = []
    network.answers.set(8002, () => ({ type: 'instance.statusIs', role: 'p' }) as Message)
    network.answers.set(FAR, (message) => {
      asked.push(message.type)
      if (message.type === 'agent.stop') return { type: 'agent.stopped', dbid: 3, wasRunning: false }
      if (message.type === 'agent.status') return knows()
      if (message.type !== 'agent.create') return new MirabelleError('datadir.broken', 'enough')
      t.match(message, { from: 'empty', assignment: { dbid: 3, datadir: '/data/3', role: 'm' } })
      return { type: 'ok' }
    })
    const done = recoverOne(down, { ...limits, mode }, admin)
    await clock.advance(100)
    t.match(await done, { outcome: 'failed', message: 'enough' })
    t.same(asked, wanted, mode)
  }
})

/** An agent that starts dbid 3, whatever ran before. */
const startsDbid3 = (message: Message): Message =>
  message.type === 'agent.stop'
    ? { type: 'agent.stopped', dbid: 3, wasRunning: false }
    : message.type === 'agent.status'
      ? knows(3)
      : { type: 'agent.started', dbid: 3, pid: 7 }

t.test('a recovery that does not get in sync says how far it came', async (t) => {
  const { network, admin, clock } = setUp([row(2, 0, 'p', { mode: 'n' }), down])
  network.answers.set(8002, () => ({ type: 'instance.statusIs', role: 'p' }) as Message)
  network.answers.set(
    8003,
    () => ({ type: 'instance.statusIs', roleState: 'mirror', detail: 'copying' }) as Message,
  )
  network.answers.set(FAR, startsDbid3)
  const done = recoverOne(down, limits, admin)
  await clock.advance(1_000)
  t.match(await done, { outcome: 'failed', message: 'not in sync after 500 ms: copying' })
})

const swapped = [
  { dbid: 2, role: 'm', mode: 'n', status: 'd' },
  { dbid: 3, role: 'p', mode: 'n', status: 'u' },
] as const

t.test('an instance that has been promoted while its hosts were asked is not stopped', async (t) => {
  const { network, admin, topology } = setUp([row(2, 0, 'p', { mode: 'n' }), down])
  const asked: string[] = []
  network.answers.set(8002, (message) => {
    if (message.type === 'instance.assign') void topology.change({ rows: swapped })
    return { type: 'instance.statusIs', role: 'p' } as Message
  })
  network.answers.set(FAR, (message) => {
    asked.push(message.type)
    return undefined
  })
  t.match(await recoverOne(down, limits, admin), {
    outcome: 'failed',
    message: /dbid 3 is no mirror of content 0 any more.*mirabelle recover/,
  })
  t.same(asked, [])
})

t.test('a recovery ends when its instance is promoted', async (t) => {
  const { network, admin, topology, clock } = setUp([row(2, 0, 'p', { mode: 'n' }), down])
  network.answers.set(8002, () => ({ type: 'instance.statusIs', role: 'p' }) as Message)
  let lsn = 0
  network.answers.set(
    8003,
    () => ({ type: 'instance.statusIs', roleState: 'mirror', detail: '', flushLsn: ++lsn }) as Message,
  )
  network.answers.set(FAR, startsDbid3)
  const done = recoverOne(down, limits, admin)
  await clock.advance(150)
  await topology.change({ rows: swapped })
  await clock.advance(150)
  t.match(await done, { outcome: 'failed', message: /dbid 3 is no mirror of content 0 any more/ })
})

t.test('a recovery whose primary is lost for good does not wait for what cannot come', async (t) => {
  const { network, admin, clock } = setUp([row(2, 0, 'p', { mode: 'n' }), down])
  network.answers.set(8002, () => ({ type: 'instance.statusIs', role: 'p' }) as Message)
  network.answers.set(8003, () => ({ type: 'instance.statusIs', roleState: 'mirror', detail: '' }) as Message)
  network.answers.set(FAR, startsDbid3)
  let health = 'up'
  const fts = { requestProbe: () => Promise.resolve(), contentState: () => ({ health }) }
  const patient = { ...limits, timeoutMs: 300_000 }
  const done = recoverOne(down, patient, { ...admin, fts: () => fts as never })
  await clock.advance(150)
  health = 'double-fault'
  await clock.advance(150)
  t.match(await done, { outcome: 'failed', message: /has lost the primary of content 0.*mirabelle recover/ })
})

t.test(
  'before work on a content its strangers are ended; half copies are deleted, whole ones stay',
  async (t) => {
    const { network, admin } = setUp([row(2, 0, 'p'), row(3, 0, 'm')])
    const asked: string[] = []
    const known = (dbid: number, content: number, pid: number | null) => ({
      dbid,
      content,
      pid,
      datadir: `/data/${dbid}`,
    })
    network.answers.set(NEAR, (message) => {
      if ('dbid' in message) asked.push(`${message.type} ${String(message.dbid)}`)
      if (message.type === 'agent.status')
        return {
          type: 'agent.statusIs',
          instances: [known(2, 0, 12), known(7, 1, 17), known(8, 0, null), known(9, 0, 19), known(10, 0, 20)],
        } as never
      if (message.type === 'agent.inspect')
        return {
          type: 'agent.inspected',
          folder: { hasBase: true, copying: message.dbid === 8 ? 'full' : null },
        } as never
      return { type: 'ok' }
    })
    await putStrangersAway(0, 10, { ...admin, work: new WorkList(), rowsChanged: () => undefined })
    t.same(asked, ['agent.inspect 8', 'agent.remove 8', 'agent.stop 9', 'agent.inspect 9'])
  },
)

t.test('the standby mark needs one instance that takes it', async (t) => {
  const { network, admin } = setUp([row(2, 0, 'p'), row(3, 0, 'm')])
  await t.rejects(markStandby(true, admin), { code: 'connection.refused' })
  network.answers.set(8003, () => ({ type: 'ok' }))
  await markStandby(true, admin)
  t.pass('one is enough')
})
