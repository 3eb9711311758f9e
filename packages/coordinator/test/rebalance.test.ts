import t from 'tap'
import { MirabelleError, type Message, type MessageOf, type SegmentRow } from '@mirabelle/messages'
import type { FtsProber } from '@mirabelle/fts'
import { silentLogger, type Hello } from '@mirabelle/runtime'
import { drainHost, rebalance, type RebalanceSources } from '../src/ha/rebalance.ts'
import { WorkList } from '../src/ha/mirrors/work-list.ts'
import { SegmentLinks } from '../src/ha/segment-links.ts'
import { Topology } from '../src/ha/topology.ts'
import type { Lane } from '../src/lanes/lane.ts'
import { LaneQueue, type LaneUser } from '../src/lanes/lane-queue.ts'
import { FakeNetwork } from './support/fake-network.ts'
import { fakePorts } from './support/fake-ports.ts'
import { ManualClock } from './support/manual-clock.ts'

const row = (
  dbid: number,
  role: 'p' | 'm',
  preferredRole: 'p' | 'm',
  over: Partial<SegmentRow> = {},
): SegmentRow => ({
  dbid,
  content: 0,
  role,
  preferredRole,
  mode: 's',
  status: 'u',
  port: 8000 + dbid,
  hostname: 'h',
  address: '127.0.0.1',
  datadir: `/data/${dbid}`,
  endpoint: { addresses: ['127.0.0.1'], port: 8000 + dbid },
  ...over,
})
const AGENT = 9001
const request: MessageOf<'cluster.rebalance'> = {
  type: 'cluster.rebalance',
  laneTimeoutMs: 500,
  timeoutMs: 500,
}
const turned = [row(2, 'm', 'p'), row(3, 'p', 'm')]
const client: LaneUser = { age: 5, requeueable: false, deadlockVictim() {} }

/** A pair with swapped roles that obeys; `did` is the order of everything. */
function setUp(rows: readonly SegmentRow[] = turned) {
  const clock = new ManualClock()
  const network = new FakeNetwork(clock)
  const did: string[] = []
  const world = { failChange: false, mirrorLsn: 100, roleState: 'mirror' }
  const topology = new Topology(
    {
      clusterId: 'c',
      epoch: 1,
      mirroring: 'group',
      rows,
      hosts: [{ hostname: 'h', agent: { addresses: ['127.0.0.1'], port: AGENT } }],
      settings: {},
    },
    {
      load: () => Promise.reject(new Error('unused')),
      change: () => {
        did.push('recorded')
        return world.failChange ? Promise.reject(new Error('the disk is full')) : Promise.resolve()
      },
    },
  )
  const queue = new LaneQueue(0)
  queue.open()
  const lane = {
    content: 0,
    queue,
    inFlight: 0,
    get isOpen() {
      return queue.isOpen
    },
    hold: queue.enter.bind(queue) as unknown,
    send: () => ({ promise: Promise.resolve({}), cancel() {} }),
  }
  lane.hold = (user: LaneUser, go: () => void, fail: (error: Error) => void) =>
    queue.enter(user, true, go, fail)
  const status = (dbid: number): Message =>
    ({
      type: 'instance.statusIs',
      roleState: dbid === 3 ? 'primary' : world.roleState,
      syncRep: true,
      flushLsn: dbid === 3 ? 100 : world.mirrorLsn,
      replayLsn: 100,
      detail: '',
      replication: dbid === 3 ? [{ dbid: 2, state: 'streaming' }] : [],
    }) as unknown as Message
  for (const dbid of [2, 3]) {
    network.answers.set(8000 + dbid, (message) => {
      if (message.type === 'instance.status') return status(dbid)
      did.push(`${message.type} ${dbid}`)
      return { type: 'fts.probed' } as unknown as Message
    })
  }
  network.answers.set(AGENT, (message) => {
    if (message.type === 'agent.stop') {
      did.push(`stop ${message.dbid}`)
      t.equal(queue.free, false, 'the lane is held when the primary is ended')
      return { type: 'agent.stopped', dbid: message.dbid, wasRunning: true }
    }
    if (message.type !== 'agent.start') return undefined
    did.push(`start ${message.assignment.dbid} ${message.assignment.role}`)
    return { type: 'agent.started', dbid: message.assignment.dbid, pid: 1 }
  })
  const fts = {
    requestProbe: () => {
      if (did.includes('released'))
        return topology.change({
          rows: [
            { dbid: 2, role: 'p', mode: 's', status: 'u' },
            { dbid: 3, role: 'm', mode: 's', status: 'u' },
          ],
        })
      return Promise.resolve()
    },
    hold: () => {
      did.push('held')
      return Promise.resolve(() => void did.push('released'))
    },
  } as unknown as FtsProber
  const sources: RebalanceSources = {
    topology,
    links: new SegmentLinks({
      ports: fakePorts(clock, { network }),
      topology,
      hello: () => ({}) as Hello,
      onDeath() {},
      onInstanceLost() {},
    }),
    fts: () => fts,
    clock,
    log: silentLogger,
    ownDbid: 1,
    work: new WorkList(),
    dispatcher: { lane: () => lane as unknown as Lane },
    aim: (content) => void did.push(`aim ${content}`),
  }
  const run = async () => {
    const done = rebalance(request, sources)
    for (let i = 0; i < 60; i++) await clock.advance(50)
    return done
  }
  return { run, did, world, topology, queue, network, sources, clock }
}

t.test('roles are recorded after the primary has ended and before anyone is promoted', async (t) => {
  const { run, did, topology, queue } = setUp()
  t.match(await run(), [{ dbid: 2, content: 0, outcome: 'done' }])
  t.same(did.slice(0, 7), [
    'held',
    'stop 3',
    'recorded',
    'aim 0',
    'segment.promote 2',
    'start 3 m',
    'released',
  ])
  t.match(topology.rows(), [
    { dbid: 2, role: 'p' },
    { dbid: 3, role: 'm' },
  ])
  t.ok(queue.free, 'statements go on')
})

t.test('pairs in their preferred roles are no rows', async (t) => {
  const { run, did } = setUp([row(2, 'p', 'p'), row(3, 'm', 'm')])
  t.same(await run(), [])
  t.same(did, [])
})

t.test(
  'a pair that is down, out of sync or behind is skipped, untouched, in the words of Greenplum',
  async (t) => {
    const said =
      /^Not rebalancing primary segment dbid 3 with its mirror dbid 2 because one is either down, unreachable, or not synchronized: /
    const cases: [string, ReturnType<typeof setUp>, RegExp][] = [
      [
        'down',
        setUp([row(2, 'm', 'p', { status: 'd', mode: 'n' }), row(3, 'p', 'm', { mode: 'n' })]),
        /dbid 3 is not in sync/,
      ],
      ['unreachable', setUp(), /nobody at 8002/],
      ['copying', setUp(), /dbid 2 is copying, not mirror/],
      ['behind', setUp(), /dbid 2 has WAL up to 0\/5A, dbid 3 up to 0\/64/],
    ]
    cases[1]?.[1].network.answers.delete(8002)
    if (cases[2] !== undefined) cases[2][1].world.roleState = 'copying'
    if (cases[3] !== undefined) cases[3][1].world.mirrorLsn = 90
    for (const [name, { run, did, queue }, why] of cases) {
      const [result] = await run()
      t.equal(result?.outcome, 'skipped', name)
      t.match(result?.message, said)
      t.match(result?.message, why)
      t.same(did, ['held', 'released'])
      t.ok(queue.free)
    }
  },
)

t.test('a transaction that does not end keeps its content, which is skipped', async (t) => {
  const { run, did, queue } = setUp()
  const ticket = queue.enter(
    client,
    true,
    () => undefined,
    () => undefined,
  )
  t.match(await run(), [{ outcome: 'skipped', message: /content 0 did not end within 500 ms/ }])
  t.same(did, ['held', 'released'])
  t.equal(queue.waiting.length, 0, 'nobody waits behind a rebalance that gave up')
  queue.leave(ticket)
})

t.test('when the roles cannot be recorded nobody is promoted, and FTS decides', async (t) => {
  const { run, did, world, queue } = setUp()
  world.failChange = true
  t.match(await run(), [{ outcome: 'failed', message: /FTS decides now: the disk is full/ }])
  t.same(did, ['held', 'stop 3', 'recorded', 'start 3 p', 'released'], 'the old primary serves again')
  t.ok(queue.free)
})

t.test('a mirror that is lost while the primary ends gets no role, and the primary comes back', async (t) => {
  const { run, did, network, topology } = setUp()
  const agent = network.answers.get(AGENT)
  network.answers.set(AGENT, (message) => {
    if (message.type === 'agent.stop') {
      network.answers.delete(8002)
      for (const one of network.connections.filter(({ remotePort }) => remotePort === 8002)) one.cut()
    }
    return agent?.(message)
  })
  t.match(await run(), [{ outcome: 'failed', message: /nobody at 8002/ }])
  t.same(did, ['held', 'stop 3', 'start 3 p', 'released'])
  t.match(topology.row(3), { role: 'p', status: 'u' })
})

t.test('the same host drained twice at once is drained once, and both are told', async (t) => {
  const { did, sources, clock } = setUp([row(2, 'm', 'p', { hostname: 'other' }), row(3, 'p', 'm')])
  const drain = { ...request, type: 'host.drain', hostname: 'h' } as const
  const both = Promise.all([drainHost(drain, sources), drainHost(drain, sources)])
  let ended = false
  void both.then(() => (ended = true))
  for (let i = 0; i < 60; i++) await clock.advance(50)
  t.ok(ended, 'the second does not wait for ever')
  t.match(await both, [[{ outcome: 'done' }], [{ outcome: 'done' }]])
  t.equal(did.filter((one) => one === 'stop 3').length, 1)
})

t.test('a host that does not end the primary changes nothing', async (t) => {
  const { run, did, network } = setUp()
  network.answers.set(AGENT, () => new MirabelleError('timeout', 'pid 7 did not end'))
  t.match(await run(), [{ outcome: 'failed', message: /pid 7 did not end/ }])
  t.same(did, ['held', 'released'])
})
