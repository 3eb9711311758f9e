import t from 'tap'
import type { FtsProber } from '@mirabelle/fts'
import { MirabelleError, type Message, type MessageOf, type SegmentRow } from '@mirabelle/messages'
import { silentLogger, type Hello } from '@mirabelle/runtime'
import type { AdminSources } from '../src/ha/admin-sources.ts'
import { agentIsUp } from '../src/ha/host-boot.ts'
import { proveEpoch } from '../src/ha/prove-epoch.ts'
import { SegmentLinks } from '../src/ha/segment-links.ts'
import { stopHost } from '../src/ha/stop-host.ts'
import { WorkList } from '../src/ha/mirrors/work-list.ts'
import { Topology } from '../src/ha/topology.ts'
import { FakeNetwork } from './support/fake-network.ts'
import { fakePorts } from './support/fake-ports.ts'
import { ManualClock } from './support/manual-clock.ts'

const row = (
  dbid: number,
  content: number,
  role: 'p' | 'm',
  hostname: string,
  over: Partial<SegmentRow> = {},
): SegmentRow => ({
  dbid,
  content,
  role,
  preferredRole: role,
  mode: 's',
  status: 'u',
  port: 7000 + dbid,
  hostname,
  address: '127.0.0.1',
  datadir: `/data/${dbid}`,
  endpoint: { addresses: ['127.0.0.1'], port: 8000 + dbid },
  ...over,
})
const AGENTS = { a: 9001, b: 9002, c: 9003 }
const pairs = [
  row(1, -1, 'p', 'a'),
  row(2, 0, 'p', 'b'),
  row(3, 0, 'm', 'c'),
  row(4, 1, 'p', 'c'),
  row(5, 1, 'm', 'b'),
]

function setUp(rows: readonly SegmentRow[] = pairs) {
  const clock = new ManualClock()
  const network = new FakeNetwork(clock)
  const topology = new Topology(
    {
      clusterId: 'c',
      epoch: 4,
      mirroring: 'group',
      rows,
      hosts: Object.entries(AGENTS).map(([hostname, port]) => ({
        hostname,
        agent: { addresses: ['127.0.0.1'], port },
      })),
      settings: {},
    },
    { load: () => Promise.reject(new Error('unused')), change: () => Promise.resolve() },
  )
  const links = new SegmentLinks({
    ports: fakePorts(clock, { network }),
    topology,
    hello: () => ({}) as Hello,
    onDeath() {},
    onInstanceLost() {},
  })
  const sources: AdminSources & { work: WorkList } = {
    topology,
    work: new WorkList(),
    links,
    fts: () => undefined,
    clock,
    log: silentLogger,
    ownDbid: 1,
  }
  return { clock, network, sources }
}

const stop = (hostname: string, look = false): MessageOf<'host.stop'> => ({
  type: 'host.stop',
  hostname,
  mode: 'fast',
  look,
})

t.test('a host is stopped only if each of its instances has a copy in sync elsewhere', async (t) => {
  const refused: [string, readonly SegmentRow[], RegExp][] = [
    ['x', pairs, /no host x; the hosts are a, b, c/],
    ['a', pairs, /carries the coordinator \(dbid 1\)/],
    ['b', [row(1, -1, 'p', 'a'), row(2, 0, 'p', 'b')], /has no mirror/],
    [
      'b',
      [row(1, -1, 'p', 'a'), row(2, 0, 'p', 'b'), row(3, 0, 'm', 'b')],
      /Both copies of content 0 are on host b/,
    ],
    [
      'b',
      [row(1, -1, 'p', 'a'), row(2, 0, 'p', 'b', { mode: 'n' }), row(3, 0, 'm', 'c', { mode: 'n' })],
      /not synchronized. Aborting/,
    ],
    [
      'b',
      [row(1, -1, 'p', 'a'), row(2, 0, 'p', 'b'), row(3, 0, 'm', 'c', { status: 'd' })],
      /not synchronized/,
    ],
  ]
  for (const [hostname, rows, words] of refused)
    for (const look of [true, false])
      await t.rejects(stopHost(stop(hostname, look), setUp(rows).sources), words)
  const { network, sources } = setUp()
  const stopped: number[] = []
  network.answers.set(AGENTS.b, (message) => {
    if (message.type !== 'agent.stop') return undefined
    stopped.push(message.dbid)
    return { type: 'agent.stopped', dbid: message.dbid, wasRunning: true }
  })
  t.match(await stopHost(stop('b', true), sources), [{ dbid: 2, outcome: 'skipped' }, { dbid: 5 }])
  t.same(stopped, [], 'who only looks stops nothing')
  t.match(await stopHost(stop('b'), sources), [
    { dbid: 5, outcome: 'done', message: 'stopped, was mirror' },
    { dbid: 2, outcome: 'done', message: 'stopped, was primary' },
  ])
  t.same(stopped, [5, 2], 'mirrors first')
})

const waiting = (dbid: number, over: object = {}) => ({
  dbid,
  content: 0,
  pid: null,
  state: 'stopped',
  datadir: `/data/${dbid}`,
  lastError: null,
  promisedEpoch: 4,
  dataRole: 'p' as const,
  endpoint: { addresses: [], port: 1 },
  waiting: true,
  ...over,
})
const statusOf = (hostname: string, instances: readonly ReturnType<typeof waiting>[]): Message => ({
  type: 'agent.statusIs',
  hostname,
  pid: 1,
  instances,
})

t.test(
  'after a reboot an instance starts in the role of the catalog, never in the one that it had',
  async (t) => {
    const { network, sources } = setUp([
      row(1, -1, 'p', 'a'),
      row(2, 0, 'm', 'b', { status: 'd', mode: 'n' }),
      row(3, 0, 'p', 'c', { mode: 'n' }),
      row(5, 1, 'm', 'b'),
    ])
    const started: [number, string, string][] = []
    network.answers.set(AGENTS.b, (message) => {
      if (message.type === 'agent.status')
        return statusOf('b', [
          waiting(2),
          waiting(5, { pid: 77, waiting: false }),
          waiting(8),
          waiting(3, { datadir: '/elsewhere' }),
        ])
      if (message.type !== 'agent.start') return undefined
      const { dbid, role, recovery } = message.assignment
      started.push([dbid, role, recovery])
      return { type: 'agent.started', dbid, pid: 9 }
    })
    await agentIsUp('b', sources)
    t.same(
      started,
      [[2, 'm', 'incremental']],
      'what runs, and what the catalog does not know there, is left alone',
    )
  },
)

t.test(
  'a coordinator that nobody asked for serves when most segments show that no other one rules',
  async (t) => {
    const { network, sources, clock } = setUp()
    let proved = false
    const proving = proveEpoch(sources, () => false).then(() => (proved = true))
    await clock.advance(1_600)
    t.equal(proved, false, 'nobody answers: it waits')
    network.answers.set(AGENTS.b, () => statusOf('b', [waiting(2), waiting(5)]))
    await clock.advance(1_600)
    t.equal(proved, false, 'two of four are not enough')
    network.answers.set(8003, () => ({ type: 'epoch.promised' }) as unknown as Message)
    await clock.advance(1_600)
    await proving
    t.ok(proved, 'one that promises and two that do not run, by their agent')
  },
)

t.test('it ends when anyone obeys a higher epoch', async (t) => {
  const { network, sources } = setUp()
  network.answers.set(AGENTS.b, () => statusOf('b', [waiting(2, { promisedEpoch: 5 })]))
  await t.rejects(
    proveEpoch(sources, () => false),
    {
      code: 'epoch.stale',
      message:
        /Standby activated, this node no more can act as coordinator: dbid 2 obeys a higher epoch than 4/,
    },
  )
  const other = setUp()
  other.network.answers.set(8004, () => new MirabelleError('epoch.stale', 'no'))
  await t.rejects(
    proveEpoch(other.sources, () => false),
    { code: 'epoch.stale', message: /dbid 4 obeys/ },
  )
})

/** The agents of both hosts stop what they are told to. */
function stoppable() {
  const made = setUp()
  const stopped: number[] = []
  const answer = (message: Message): Message | undefined => {
    if (message.type !== 'agent.stop') return undefined
    stopped.push(message.dbid)
    return { type: 'agent.stopped', dbid: message.dbid, wasRunning: true }
  }
  made.network.answers.set(AGENTS.b, answer)
  made.network.answers.set(AGENTS.c, answer)
  return { ...made, stopped }
}

t.test('two hosts that carry each other’s mirrors are not stopped at the same time', async (t) => {
  const { sources, stopped } = stoppable()
  const [first, second] = await Promise.allSettled([
    stopHost(stop('b'), sources),
    stopHost(stop('c'), sources),
  ])
  t.equal(first.status, 'fulfilled')
  t.match(second, { status: 'rejected', reason: { code: 'busy', message: /stop of host b running/ } })
  t.same(stopped, [5, 2], 'no content has lost both copies')
  const [one, again] = await Promise.all([stopHost(stop('b'), sources), stopHost(stop('b'), sources)])
  t.equal(one, again, 'the same question again follows')
})

t.test('a primary whose mirror is lost while the mirrors of its host stop is not stopped', async (t) => {
  const { sources, stopped } = stoppable()
  const { topology } = sources
  const lose = { rows: [{ dbid: 3, role: 'm', mode: 'n', status: 'd' } as const] }
  const prober = {
    requestProbe: (content: number) => (content === 0 ? topology.change(lose) : Promise.resolve()),
  }
  t.match(await stopHost(stop('b'), { ...sources, fts: () => prober as FtsProber }), [
    { dbid: 5, outcome: 'done' },
    { dbid: 2, outcome: 'failed', message: 'not stopped: its mirror is not in sync any more' },
  ])
  t.same(stopped, [5], 'content 0 has a copy that serves')
})
