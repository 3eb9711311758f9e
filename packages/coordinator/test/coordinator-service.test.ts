import t from 'tap'
import { MirabelleError, type Message, type SegmentRow } from '@mirabelle/messages'
import type { CatalogChange, ClusterSnapshot } from '../src/catalog/cluster-catalog.ts'
import { CoordinatorService } from '../src/ha/coordinator-service.ts'
import { Topology } from '../src/ha/topology.ts'
import { FakeNetwork } from './support/fake-network.ts'
import { fakePorts } from './support/fake-ports.ts'
import { ManualClock } from './support/manual-clock.ts'

const row = (dbid: number, content: number, role: 'p' | 'm'): SegmentRow => ({
  dbid,
  content,
  role,
  preferredRole: role,
  mode: 's',
  status: 'u',
  port: 7000 + dbid,
  hostname: 'h',
  address: '127.0.0.1',
  datadir: `/data/${dbid}`,
  endpoint: { addresses: ['127.0.0.1'], port: 8000 + dbid },
})

/** A coordinator's durable state: its catalog, and the epoch that its instance has promised. */
function setUp(rows: readonly SegmentRow[], promised: number) {
  const clock = new ManualClock()
  const network = new FakeNetwork(clock)
  const durable = {
    rows,
    epoch: 3,
    promised,
    changes: [] as CatalogChange[],
    peers: [] as unknown[],
    /** The standby that its instance waited for when the catalog was changed; undefined = as it was started. */
    waitedFor: [] as unknown[],
    failChange: false,
  }
  const load = (): Promise<ClusterSnapshot> =>
    Promise.resolve({
      clusterId: 'c',
      epoch: durable.epoch,
      mirroring: 'group',
      rows: durable.rows,
      hosts: [],
      settings: {},
    })
  const begin = (ownDbid: number, reclaims = false) =>
    CoordinatorService.begin(
      {
        ports: fakePorts(clock, { network }),
        ownDbid,
        reclaims,
        setPeer: (peer) => {
          durable.peers.push(peer)
          return Promise.resolve()
        },
        version: '0',
        store: {
          load,
          change: async (change) => {
            if (durable.failChange) throw new Error('killed before the change')
            const memory = new Topology(await load(), { load, change: () => Promise.resolve() })
            await memory.change(change)
            durable.rows = memory.rows()
            durable.epoch = memory.epoch
            durable.changes.push(change)
            durable.waitedFor.push(durable.peers.at(-1))
          },
        },
        openLocal: () => Promise.reject(new MirabelleError('not.ready', 'no engine')),
        ownStatus: () => {
          throw new Error('not asked')
        },
        promisedEpoch: () => durable.promised,
        promiseEpoch: (epoch) => {
          durable.promised = epoch
          return Promise.resolve()
        },
        onSuperseded() {},
        onShutdownNeeded() {},
      },
      undefined,
      () => Promise.reject(new Error('nothing to initialise')),
    )
  return { begin, durable, network, clock }
}

const end = (service: CoordinatorService) =>
  service.close(new MirabelleError('not.ready', 'the test is over'))
const pair = [row(1, -1, 'p'), row(2, -1, 'm'), row(3, 0, 'p')]

t.test('the coordinator that the catalog names takes up its role and promises its epoch', async (t) => {
  const { begin, durable } = setUp(pair, 0)
  const service = await begin(1)
  t.equal(durable.promised, 3)
  t.same(durable.changes, [])
  await end(service)
})

t.test('one that has promised a higher epoch may not be coordinator any more', async (t) => {
  const { begin } = setUp(pair, 4)
  await t.rejects(begin(1), { code: 'epoch.stale', message: /Standby activated, this node no more can act/ })
})

t.test('one whose segments obey a higher epoch may not either', async (t) => {
  const { begin, network } = setUp(pair, 3)
  network.answers.set(8003, () => new MirabelleError('epoch.stale', 'epoch 4 was promised'))
  await t.rejects(begin(1), { code: 'epoch.stale', message: /dbid 3 obeys a higher epoch than 3/ })
})

t.test(
  'an activation takes the role, removes the old coordinator and raises the epoch in one change',
  async (t) => {
    const { begin, durable } = setUp(pair, 5)
    const service = await begin(2)
    t.equal(durable.changes.length, 1)
    t.equal(durable.epoch, 6)
    t.equal(durable.promised, 6)
    t.match(durable.rows, [
      { dbid: 2, content: -1, role: 'p', preferredRole: 'p', status: 'u' },
      { dbid: 3, content: 0 },
    ])
    t.equal(durable.rows.length, 2)
    t.same(
      durable.waitedFor,
      [null],
      'nobody is waited for, whoever is named by a start after an interruption',
    )
    await end(service)
    const again = await begin(2)
    t.equal(durable.changes.length, 1, 'a restart afterwards changes nothing')
    await end(again)
  },
)

t.test('an activation killed between its promise and its change is finished by the next start', async (t) => {
  const { begin, durable } = setUp(pair, 3)
  durable.failChange = true
  await t.rejects(begin(2), { message: 'killed before the change' })
  t.equal(durable.promised, 4)
  durable.failChange = false
  const service = await begin(2)
  t.equal(service.topology.epoch, durable.promised)
  t.match(service.topology.primary(-1), { dbid: 2 })
  await end(service)
})

t.test(
  'a standby whose old coordinator is not in the catalog any more takes the role all the same',
  async (t) => {
    const { begin, durable } = setUp([row(2, -1, 'm')], 0)
    const service = await begin(2)
    t.match(durable.rows, [{ dbid: 2, role: 'p', preferredRole: 'p' }])
    await end(service)
  },
)

const statusOf = (roleState: string, epoch: number) => () =>
  ({ type: 'instance.statusIs', roleState, epoch, pid: 77 }) as unknown as Message

t.test(
  'a coordinator whose standby is lost is reclaimed with an epoch that nobody was promised',
  async (t) => {
    const { begin, durable, network } = setUp(pair, 4)
    network.answers.set(8003, statusOf('primary', 6))
    const service = await begin(1, true)
    t.equal(durable.promised, 7)
    t.match(durable.changes, [
      { epoch: 7, removeDbids: [2], history: [{ dbid: 1, description: /reclaimed.*dbid 2 was removed/ }] },
    ])
    t.equal(durable.peers.at(-1), null, 'it waits for no standby any more')
    t.same(durable.waitedFor, [null], 'not for this change either')
    t.equal(service.topology.mirror(-1), undefined)
    await end(service)
  },
)

t.test('it is not reclaimed while the standby acts as coordinator, or from nobody', async (t) => {
  const { begin, durable, network } = setUp(pair, 3)
  network.answers.set(8002, statusOf('primary', 4))
  await t.rejects(begin(1, true), {
    code: 'coordinator.alive',
    message: /dbid 2 acts as coordinator \(pid 77\)/,
  })
  network.answers.set(8002, statusOf('mirror', 3))
  const service = await begin(1, true)
  t.same(durable.changes, [], 'nobody was promised more: it is the coordinator')
  t.match(durable.peers, [{ dbid: 2 }], 'the catalog says who the standby is, whoever started this one')
  t.equal(durable.promised, 3)
  await end(service)
})

t.test('a reclaim killed between its promise and its change can be repeated', async (t) => {
  const { begin, durable, network } = setUp(pair, 3)
  network.answers.set(8003, statusOf('primary', 5))
  durable.failChange = true
  await t.rejects(begin(1, true), { message: 'killed before the change' })
  t.equal(durable.promised, 6)
  durable.failChange = false
  const service = await begin(1, true)
  t.equal(service.topology.epoch, 7)
  await end(service)
})
