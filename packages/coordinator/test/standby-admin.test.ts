import t from 'tap'
import { MirabelleError, type Message, type MessageOf, type Peer, type SegmentRow } from '@mirabelle/messages'
import { silentLogger, type Hello } from '@mirabelle/runtime'
import { initStandby, removeStandby, resyncStandby, type StandbySources } from '../src/ha/standby-admin.ts'
import { planStandby } from '../src/ha/standby-plan.ts'
import { WorkList } from '../src/ha/mirrors/work-list.ts'
import { StandbyWork } from '../src/ha/standby-work.ts'
import { SegmentLinks } from '../src/ha/segment-links.ts'
import { Topology } from '../src/ha/topology.ts'
import { FakeNetwork } from './support/fake-network.ts'
import { fakePorts } from './support/fake-ports.ts'
import { ManualClock } from './support/manual-clock.ts'

const row = (dbid: number, content: number, role: 'p' | 'm', hostname: string): SegmentRow => ({
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
})
const AGENTS: Record<string, number> = { near: 9001, far: 9002, third: 9003 }
const coordinator = row(2, -1, 'p', 'near')
const segment = row(3, 0, 'p', 'near')
const standby: SegmentRow = { ...row(9, -1, 'm', 'far'), mode: 'n', status: 'd' }

/** A cluster whose far agent does all that it is asked, and notes it; `did` is the order of everything. */
function setUp(rows: readonly SegmentRow[], known: number[] = []) {
  const clock = new ManualClock()
  const network = new FakeNetwork(clock)
  const did: string[] = []
  const history: string[] = []
  const topology = new Topology(
    {
      clusterId: 'c',
      epoch: 1,
      mirroring: 'group',
      rows,
      hosts: Object.entries(AGENTS).map(([hostname, port]) => ({
        hostname,
        agent: { addresses: ['127.0.0.1'], port },
      })),
      settings: {},
    },
    {
      load: () => Promise.reject(new Error('unused')),
      change: (change) => {
        did.push(
          change.removeDbids !== undefined
            ? 'row removed'
            : change.replaceRows !== undefined
              ? 'row made'
              : 'row up',
        )
        history.push(...(change.history ?? []).map(({ description }) => description))
        return Promise.resolve()
      },
    },
  )
  const agent = (message: Message): Message | MirabelleError | undefined => {
    did.push(message.type)
    switch (message.type) {
      case 'agent.status':
        did.pop()
        return {
          type: 'agent.statusIs',
          hostname: 'far',
          pid: 1,
          instances: known.map((dbid) => ({
            dbid,
            content: -1,
            pid: 1,
            state: 'running',
            datadir: `/data/${dbid}`,
            lastError: null,
            promisedEpoch: null,
            dataRole: null,
            endpoint: { addresses: ['127.0.0.1'], port: 1 },
            waiting: false,
          })),
        }
      case 'agent.offerPlace':
        return {
          type: 'agent.placeOffered',
          datadir: message.datadir ?? `/data/${message.folder}`,
          ports: message.ports.map((port, i) => (port === null || port === 6666 ? 6000 + i : port)),
        }
      case 'agent.start':
        return { type: 'agent.started', dbid: message.assignment.dbid, pid: 5 }
      case 'agent.stop':
        return { type: 'agent.stopped', dbid: message.dbid, wasRunning: true }
      default:
        return { type: 'ok' }
    }
  }
  network.answers.set(9002, agent)
  network.answers.set(8003, (message) => {
    did.push(message.type)
    return { type: 'ok' }
  })
  const world = { streaming: true, roleState: 'mirror' }
  network.answers.set(
    8009,
    () => ({ type: 'instance.statusIs', roleState: world.roleState, detail: '' }) as unknown as Message,
  )
  const sources: StandbySources = {
    topology,
    links: new SegmentLinks({
      ports: fakePorts(clock, { network }),
      topology,
      hello: () => ({}) as Hello,
      onDeath() {},
      onInstanceLost() {},
    }),
    fts: () => undefined,
    clock,
    log: silentLogger,
    ownDbid: 2,
    work: new WorkList(),
    ownStatus: () =>
      ({
        flushLsn: 100,
        replication: world.streaming ? [{ dbid: 9, state: 'streaming', flushLsn: 100 }] : [],
      }) as unknown as MessageOf<'instance.statusIs'>,
    setPeer: (peer: Peer | null) => {
      did.push(`peer ${peer?.dbid ?? 'none'}`)
      return Promise.resolve()
    },
  }
  return { clock, network, agent, did, history, topology, sources, world }
}

const ask = (over: Partial<MessageOf<'standby.plan'>> = {}): MessageOf<'standby.plan'> => ({
  type: 'standby.plan',
  host: null,
  port: null,
  datadir: null,
  aboveDbid: 7,
  before: [{ hostname: 'far', sqlPort: 5432, port: 5433 }],
  ...over,
})

t.test('a plan prefers the host and the ports of the last one, and gives no dbid away twice', async (t) => {
  const { sources, did } = setUp([coordinator, row(3, 0, 'p', 'near')], [8])
  const { row: planned, begun } = await planStandby(ask(), sources)
  t.match(planned, {
    dbid: 9,
    content: -1,
    role: 'm',
    preferredRole: 'm',
    mode: 'n',
    status: 'd',
    hostname: 'far',
    port: 5432,
    endpoint: { port: 5433 },
    datadir: '/data/coordinator9',
  })
  t.notOk(begun)
  t.same(did, ['agent.offerPlace'], 'nothing was changed')
})

t.test('a plan refuses what cannot be, with what to do instead', async (t) => {
  const { sources } = setUp([coordinator])
  await t.rejects(
    planStandby(ask({ host: 'near' }), sources),
    /cannot be on near, the host of the coordinator/,
  )
  await t.rejects(
    planStandby(ask({ host: 'nowhere' }), sources),
    /no host nowhere; the hosts are near, far, third/,
  )
  await t.rejects(
    planStandby(ask({ host: 'third' }), sources),
    /no host .* answers \(third: nobody at 9003\)/,
  )
  await t.rejects(planStandby(ask({ port: 6666 }), sources), /port 6666 on host far is in use/)
  const complete = setUp([coordinator, { ...standby, status: 'u' }])
  await t.rejects(
    planStandby(ask(), complete.sources),
    /standby coordinator already configured: dbid 9 on far/,
  )
  const begun = setUp([coordinator, standby])
  t.match(await planStandby(ask(), begun.sources), { begun: true, row: { dbid: 9 } })
  for (const other of [{ host: 'third' }, { port: 1 }, { datadir: '/x' }])
    await t.rejects(planStandby(ask(other), begun.sources), /on far:7009, folder .*, has begun/)
})

t.test('a plan takes the port and the folder that were asked for', async (t) => {
  const { sources } = setUp([coordinator])
  const { row: planned } = await planStandby(ask({ port: 7777, datadir: '/srv/standby' }), sources)
  t.match(planned, { hostname: 'far', port: 7777, endpoint: { port: 5433 }, datadir: '/srv/standby' })
})

t.test(
  'init says in the catalog what it is about to make, and that it is up only when it has everything',
  async (t) => {
    const { sources, did, topology, history } = setUp([coordinator, segment])
    t.match(await initStandby(standby, sources), [{ dbid: 9, outcome: 'done' }])
    t.same(did, ['row made', 'standby.mark', 'agent.create', 'peer 9', 'agent.start', 'row up'])
    t.match(topology.row(9), { role: 'm', mode: 's', status: 'u' })
    t.equal(history.length, 2)
  },
)

t.test(
  'init completes what was interrupted: no second row, and a folder that the agent knows stays',
  async (t) => {
    const { sources, did } = setUp([coordinator, segment, standby], [9])
    t.match(await initStandby(row(12, -1, 'm', 'third'), sources), [{ dbid: 9, outcome: 'done' }])
    t.same(did, ['standby.mark', 'peer 9', 'agent.start', 'row up'])
  },
)

t.test('init that fails takes back what it made and says why', async (t) => {
  const { sources, did, topology, network, agent } = setUp([coordinator, segment])
  network.answers.set(9002, (message) =>
    message.type === 'agent.start'
      ? new MirabelleError('listen.failed', 'port 7009 is taken')
      : agent(message),
  )
  t.match(await initStandby(standby, sources), [
    { outcome: 'failed', message: /port 7009 is taken; what had been made was taken back$/ },
  ])
  t.same(did.slice(-5), ['agent.stop', 'peer none', 'agent.remove', 'peer none', 'row removed'])
  t.equal(topology.row(9), undefined)
})

t.test(
  'a standby that takes WAL but does not replay yet is not complete: it could not be activated',
  async (t) => {
    const { sources, clock, world } = setUp([coordinator, segment])
    world.roleState = 'starting'
    let ended = false
    const done = initStandby(standby, sources).finally(() => (ended = true))
    for (let i = 0; i < 10; i++) await clock.advance(100)
    t.notOk(ended)
    world.roleState = 'mirror'
    await clock.advance(100)
    t.match(await done, [{ outcome: 'done' }])
  },
)

t.test(
  'init makes nothing when the segments cannot be told that the new standby lacks changes',
  async (t) => {
    const { sources, did, network, topology } = setUp([coordinator, segment])
    network.answers.delete(8003)
    t.match(await initStandby(standby, sources), [
      { outcome: 'failed', message: /what had been made was taken back/ },
    ])
    t.notOk(did.includes('peer 9'))
    t.equal(topology.row(9), undefined)
  },
)

t.test('init gives up a standby that shows no progress', async (t) => {
  const { sources, clock, world, topology } = setUp([coordinator, segment], [9])
  world.streaming = false
  const done = initStandby(standby, sources)
  for (let i = 0; i < 70; i++) await clock.advance(1_000)
  t.match(await done, [{ outcome: 'failed', message: /dbid 9 made no progress for 60 s/ }])
  t.equal(topology.row(9), undefined)
})

t.test(
  'remove marks the standby as lacking changes before anything else, and works when its host is dead',
  async (t) => {
    const rows = [coordinator, segment, { ...standby, status: 'u' as const }]
    const alive = setUp(rows)
    t.match(await removeStandby(alive.sources), [{ outcome: 'done' }])
    t.same(alive.did, ['standby.mark', 'agent.stop', 'peer none', 'agent.remove', 'peer none', 'row removed'])
    const dead = setUp(rows)
    dead.network.answers.delete(9002)
    t.match(await removeStandby(dead.sources), [
      {
        outcome: 'failed',
        message: /removed from the catalog, but the folder \/data\/9 on far is left: nobody at 9002/,
      },
    ])
    t.same(dead.did, ['standby.mark', 'peer none', 'row removed'])
    await t.rejects(
      removeStandby(dead.sources),
      /has no standby coordinator: "mirabelle standby init" makes one/,
    )
  },
)

t.test('resync leaves a standby that streams alone unless a copy is asked for', async (t) => {
  const { sources, did } = setUp([coordinator, { ...standby, status: 'u', mode: 's' }], [9])
  t.match(await resyncStandby('auto', sources), [{ outcome: 'skipped' }])
  t.same(did, [])
  t.match(await resyncStandby('full', sources), [{ outcome: 'done' }])
  t.same(did, ['agent.stop', 'agent.create', 'peer 9', 'agent.start'])
})

t.test('one piece of work at a time; the same question again gets the same answer', async (t) => {
  const work = new StandbyWork()
  let end: (() => void) | undefined
  const first = work.do('init', () => new Promise((resolve) => (end = () => resolve([]))))
  t.equal(
    work.do('init', () => t.fail('twice') as never),
    first,
  )
  await t.rejects(
    work.do('remove', () => t.fail('crossed') as never),
    { code: 'busy', message: /init is under way/ },
  )
  end?.()
  await first
  t.same(await work.do('remove', () => Promise.resolve([])), [])
})
