/** Settings at run time: the catalog first, then everyone; whoever could not be told is told at the next contact. */
import t from 'tap'
import { areNewer, MirabelleError, type Message, type SegmentRow } from '@mirabelle/messages'
import type { FtsProber } from '@mirabelle/fts'
import { silentLogger, type Hello } from '@mirabelle/runtime'
import type { CatalogChange } from '../src/catalog/cluster-catalog.ts'
import { ClusterSettings } from '../src/ha/cluster-settings.ts'
import { SegmentLinks } from '../src/ha/segment-links.ts'
import { SettingsSpread } from '../src/ha/settings-spread.ts'
import { Topology } from '../src/ha/topology.ts'
import { FakeNetwork } from './support/fake-network.ts'
import { fakePorts } from './support/fake-ports.ts'
import { ManualClock, settle } from './support/manual-clock.ts'

const row = (dbid: number, content: number, role: 'p' | 'm', more: Partial<SegmentRow> = {}): SegmentRow => ({
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
  ...more,
})

type Texts = Readonly<Record<string, string>>

/** A coordinator (dbid 1) over a catalog that outlives it, and instances that keep the newest settings they were sent. */
function setUp(rows: readonly SegmentRow[]) {
  const clock = new ManualClock()
  const network = new FakeNetwork(clock)
  const ports = fakePorts(clock, { network })
  const catalog = { settings: {} as Record<string, string>, version: 1, full: false, journal: [] as string[] }
  const held = new Map<number, Texts>()
  const keep = (dbid: number, texts: Texts) => {
    if (areNewer(texts, held.get(dbid) ?? {})) held.set(dbid, texts)
  }
  const answering = (dbid: number) => (message: Message) => {
    if (message.type !== 'instance.configure') return { type: 'ok' } as const
    catalog.journal.push(`dbid ${message.dbid} told`)
    keep(dbid, message.settings)
    return { type: 'ok' } as const
  }
  for (const { dbid } of rows.slice(1)) network.answers.set(8000 + dbid, answering(dbid))
  const change = (wanted: CatalogChange): Promise<void> => {
    if (catalog.full) return Promise.reject(new Error('disk full'))
    catalog.journal.push('catalog')
    for (const [name, text] of Object.entries(wanted.settings ?? {})) {
      if (text === null) Reflect.deleteProperty(catalog.settings, name)
      else catalog.settings[name] = text
    }
    catalog.version = wanted.settingsVersion ?? catalog.version
    return Promise.resolve()
  }
  /** A process of the coordinator begins. */
  const coordinator = () => {
    const superseded: string[] = []
    const probes: string[] = []
    const snapshot = { clusterId: 'c', epoch: 1, mirroring: 'group', rows, hosts: [] } as const
    const known = { ...snapshot, settings: { ...catalog.settings }, settingsVersion: catalog.version }
    const topology = new Topology(known, { load: () => Promise.reject(new Error('unused')), change })
    const links = new SegmentLinks({
      ports,
      topology,
      hello: () => ({}) as Hello,
      onDeath() {},
      onInstanceLost() {},
      onInstanceUp: (dbid) => spread.reached(dbid),
    })
    const spread = new SettingsSpread({
      topology,
      links,
      clock,
      log: silentLogger,
      ownDbid: 1,
      configureOwn: (texts) => Promise.resolve(keep(1, texts)),
      onSuperseded: (reason) => superseded.push(reason),
    })
    const fts = { requestScan: () => Promise.resolve(void probes.push('scan')) } as unknown as FtsProber
    return {
      topology,
      links,
      spread,
      superseded,
      probes,
      settings: new ClusterSettings(topology, spread, fts),
    }
  }
  const value = (dbid: number) => held.get(dbid)?.['failover_timeout']
  return { clock, network, catalog, value, answering, coordinator }
}

const rows = [row(1, -1, 'p'), row(2, 0, 'p'), row(3, 0, 'm')]

t.test(
  'a change is in the catalog before anyone hears of it, and everyone has it when it answers',
  async (t) => {
    const { coordinator, catalog, value } = setUp(rows)
    const { settings, probes } = coordinator()
    const results = await settings.change({ failover_timeout: '60s' })
    t.equal(catalog.journal[0], 'catalog')
    t.same(catalog.settings, { failover_timeout: '1min' }, 'as SHOW prints it')
    t.same([1, 2, 3].map(value), ['1min', '1min', '1min'])
    t.same(
      results.map(({ dbid, outcome }) => [dbid, outcome]),
      [
        [2, 'done'],
        [3, 'done'],
      ],
    )
    t.same(probes, ['scan'], 'FTS takes the new times at once')
    t.match(
      settings.rows().find(({ name }) => name === 'failover_timeout'),
      { value: '1min', default: '30s', range: 'from 0 to 1h', source: 'changed' },
    )
    await settings.change({ failover_timeout: null })
    t.same([1, 2, 3].map(value), [undefined, undefined, undefined])
    t.match(
      settings.rows().find(({ name }) => name === 'failover_timeout'),
      { value: '30s', source: 'default' },
    )
  },
)

t.test('one refused value refuses the whole change, and nobody hears of it', async (t) => {
  const { coordinator, catalog } = setUp(rows)
  const { settings } = coordinator()
  await t.rejects(settings.change({ failover_timeout: '5s', gp_fts_probe_interval: '1ms' }), {
    code: 'setting.invalid',
    message: /"gp_fts_probe_interval": "1ms" \(from 100ms to 1h\)/,
  })
  await t.rejects(settings.change({ failovertimeout: '5s' }), { code: 'setting.invalid' })
  await t.rejects(settings.change({ toString: '5s' }), { code: 'setting.invalid' })
  catalog.full = true
  await t.rejects(settings.change({ failover_timeout: '5s' }), { message: 'disk full' })
  t.same(catalog.journal, [])
})

t.test('a coordinator that dies between catalog and telling makes no difference', async (t) => {
  const { coordinator, catalog, value, network } = setUp(rows)
  const dying = coordinator()
  await dying.topology.change({ settings: { failover_timeout: '5s' } }) // and here its process ends
  t.equal(value(2), undefined)
  const next = coordinator()
  await next.links.instance(rows[1] as SegmentRow).connect(100)
  await settle()
  t.equal(value(2), '5s', 'the first contact of the next one tells')
  t.same(catalog.journal, ['catalog', 'dbid 2 told'])
  // What the dead one had sent arrives late.
  network.answers.get(8002)?.({
    type: 'instance.configure',
    dbid: 2,
    content: 0,
    epoch: 1,
    settings: { failover_timeout: '1s' },
  })
  t.equal(value(2), '5s')
})

t.test('an instance that was away has the settings as soon as it is reached', async (t) => {
  const { coordinator, network, value, answering, clock } = setUp([...rows, row(4, 1, 'm', { status: 'd' })])
  network.answers.delete(8003)
  network.answers.delete(8004)
  const { settings, links } = coordinator()
  const results = await settings.change({ failover_timeout: '5s' })
  t.match(results, [
    { dbid: 2, outcome: 'done' },
    { dbid: 3, outcome: 'failed', message: /when it is reached again/ },
    { dbid: 4, outcome: 'skipped' },
  ])
  network.answers.set(8003, answering(3))
  await links.instance(rows[2] as SegmentRow).connect(100)
  await settle()
  t.equal(value(3), '5s')
  t.equal(clock.pending, 0, 'nobody waits for the one that is away')
})

t.test('one that refuses is told again, one that hangs over a new connection', async (t) => {
  const { coordinator, network, value, answering, clock } = setUp(rows)
  const { settings, links } = coordinator()
  network.answers.set(8002, () => new MirabelleError('not.ready', 'it is starting'))
  network.answers.set(8003, () => undefined)
  const changed = settings.change({ failover_timeout: '5s' })
  await clock.advance(2_500)
  t.match(await changed, [
    { dbid: 2, outcome: 'failed', message: /it is starting/ },
    { dbid: 3, outcome: 'failed' },
  ])
  t.notOk(links.instance(rows[2] as SegmentRow).connected)
  network.answers.set(8002, answering(2))
  network.answers.set(8003, answering(3))
  await clock.advance(1_500)
  t.equal(value(2), '5s')
  await links.instance(rows[2] as SegmentRow).connect(100)
  await settle()
  t.equal(value(3), '5s')
})

t.test('an instance that obeys a higher epoch ends this coordinator', async (t) => {
  const { coordinator, network } = setUp(rows)
  const { settings, superseded } = coordinator()
  network.answers.set(8002, () => new MirabelleError('epoch.stale', 'epoch 2 was promised'))
  await settings.change({ failover_timeout: '5s' })
  t.ok(superseded.length > 0)
  t.equal(superseded[0], 'epoch 2 was promised')
})

t.test('after its end a coordinator tells nobody anything', async (t) => {
  const { coordinator, network, catalog, clock } = setUp(rows)
  const { settings, spread } = coordinator()
  network.answers.set(8002, () => new MirabelleError('not.ready', 'it is starting'))
  await settings.change({ failover_timeout: '5s' })
  const told = catalog.journal.length
  spread.close()
  spread.reached(3)
  await clock.advance(5_000)
  t.equal(catalog.journal.length, told)
  t.equal(clock.pending, 0)
})
