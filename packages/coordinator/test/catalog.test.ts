import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { PGlite } from '@electric-sql/pglite'
import { DATADIR_FORMAT } from '@mirabelle/instance'
import { formatSetting, settingsCatalog, type SegmentRow } from '@mirabelle/messages'
import { bootstrapSql } from '../src/catalog/bootstrap-sql.ts'
import { changeSql, initialCatalogSql, literal, loadSnapshotSql } from '../src/catalog/catalog-sql.ts'
import type { CatalogChange, ClusterSnapshot } from '../src/catalog/cluster-catalog.ts'
import { Topology } from '../src/ha/topology.ts'
import { settingsViewSql } from '../src/views/settings-view.ts'
import { refreshSql, type LiveState } from '../src/views/live-views.ts'

const row = (dbid: number, content: number, role: 'p' | 'm'): SegmentRow => ({
  dbid,
  content,
  role,
  preferredRole: role,
  mode: 's',
  status: 'u',
  port: 7000 + dbid,
  hostname: `host'${dbid}`,
  address: '127.0.0.1',
  datadir: `/data\\dir/${dbid}`,
  endpoint: { addresses: ['127.0.0.1', '10.0.0.1'], port: 8000 + dbid },
})

const snapshot: ClusterSnapshot = {
  clusterId: "it's",
  epoch: 3,
  mirroring: 'group',
  rows: [row(1, -1, 'p'), row(2, 0, 'p'), row(3, 0, 'm')],
  hosts: [{ hostname: 'a', agent: { addresses: ['127.0.0.1'], port: 9000 } }],
  settings: { gp_fts_probe_timeout: '2s' },
}

const changes: readonly CatalogChange[] = [
  {
    rows: [
      { dbid: 2, role: 'm', mode: 'n', status: 'd' },
      { dbid: 3, role: 'p', mode: 'n', status: 'u' },
    ],
    history: [{ dbid: 3, description: "FTS: it's so" }],
  },
  { epoch: 4, removeDbids: [1], replaceRows: [{ ...row(4, -1, 'p'), port: 1 }] },
  { settings: { gp_fts_probe_timeout: null, gp_fts_probe_interval: '7s' } },
]

async function database(t: Test): Promise<PGlite> {
  const db = new PGlite()
  t.teardown(() => db.close())
  await db.exec(bootstrapSql)
  return db
}

async function load(db: PGlite) {
  const { rows } = await db.query<{ json_build_object: Record<string, unknown> }>(loadSnapshotSql)
  return rows[0]?.json_build_object as {
    cluster: Record<string, string>
    rows: SegmentRow[]
    hosts: unknown
    settings: unknown
  }
}

t.test('what init puts into the catalog is of this format of data directories', (t) => {
  const hash = createHash('sha256').update(bootstrapSql).digest('hex').slice(0, 12)
  t.same(
    [DATADIR_FORMAT, hash],
    [2, 'a991a34b4556'],
    'a version with another catalog cannot serve older folders: raise DATADIR_FORMAT',
  )
  t.end()
})

t.test(
  'what init writes is what the coordinator loads, and memory follows the catalog through every change',
  async (t) => {
    const db = await database(t)
    await db.exec(initialCatalogSql(snapshot))
    const loaded = await load(db)
    t.same(loaded.rows, snapshot.rows)
    t.same(loaded.hosts, snapshot.hosts)
    t.same(loaded.settings, snapshot.settings)
    t.same(loaded.cluster, { cluster_id: "it's", epoch: '3', mirroring: 'group' })
    const topology = new Topology(snapshot, {
      load: () => Promise.resolve(snapshot),
      change: async (change) => void (await db.exec(changeSql(change))),
    })
    await Promise.all(changes.map((change) => topology.change(change)))
    const now = await load(db)
    t.same(topology.rows(), now.rows)
    t.same(topology.settingTexts, now.settings)
    t.equal(String(topology.epoch), now.cluster['epoch'])
    t.match(topology.primary(0), { dbid: 3 })
    t.match(topology.mirror(0), { dbid: 2, status: 'd' })
    t.match(topology.primary(-1), { dbid: 4, port: 1 })
    t.equal(topology.settings.gp_fts_probe_interval, 7_000)
    const history = await db.query('SELECT dbid, description FROM gp_configuration_history')
    t.same(history.rows, [{ dbid: 3, description: "FTS: it's so" }])
  },
)

t.test('a change that the store refuses leaves memory as it was, and the next one goes on', async (t) => {
  let refuse = true
  const topology = new Topology(snapshot, {
    load: () => Promise.resolve(snapshot),
    change: () => (refuse ? Promise.reject(new Error('disk full')) : Promise.resolve()),
  })
  const first = topology.change(changes[0] as CatalogChange)
  const second = topology.change({ epoch: 9 })
  await t.rejects(first, { message: 'disk full' })
  await t.rejects(second)
  t.same(topology.rows(), snapshot.rows)
  t.equal(topology.epoch, 3)
  refuse = false
  await topology.change({ epoch: 9 })
  t.equal(topology.epoch, 9)
})

t.test('a change shows in memory only when the store has it', async (t) => {
  let durable: () => void = () => {}
  const topology = new Topology(snapshot, {
    load: () => Promise.resolve(snapshot),
    change: () => new Promise((resolve) => (durable = resolve)),
  })
  const done = topology.change({ epoch: 9 })
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(topology.epoch, 3)
  durable()
  await done
  t.equal(topology.epoch, 9)
})

t.test('one part of a change that fails undoes all of it and leaves nothing open', async (t) => {
  const db = await database(t)
  await db.exec(initialCatalogSql(snapshot))
  const bad = { epoch: 8, history: [{ dbid: 99_999_999, description: 'too big for a smallint' }] }
  await t.rejects(db.exec(changeSql(bad)))
  t.equal((await load(db)).cluster['epoch'], '3')
})

t.test('literals survive quotes and backslashes', async (t) => {
  const db = await database(t)
  for (const text of ["'", '\\', "\\'", "a''b\\n", 'ü€']) {
    const { rows } = await db.query<{ x: string }>(`SELECT ${literal(text)} AS x`)
    t.equal(rows[0]?.x, text)
  }
})

const live: LiveState = {
  replication: [
    {
      content: -1,
      row: {
        dbid: 2,
        pid: 12658,
        clientAddr: '127.0.0.1',
        clientPort: 50570,
        backendStart: Date.UTC(2026, 10, 20, 8, 40, 46, 921),
        state: 'streaming',
        sentLsn: 0xc019500,
        writeLsn: 0xc019500,
        flushLsn: 0xc019500,
        replayLsn: 0x1_0c0194f0,
        writeLagMs: 0.068,
        flushLagMs: 0.069,
        replayLagMs: null,
        syncState: 'sync',
        replyTime: Date.UTC(2026, 10, 20, 8, 41, 7, 233),
      },
    },
    { content: 0, row: null },
  ],
  instances: [],
  standby: { summary: 'Not Configured', detail: null, changedAt: null, error: null },
  laneDepth: () => 0,
}

const showing = (state: LiveState) => ({ cluster: () => Promise.resolve(state), sessions: () => [] })

t.test('gp_stat_replication prints as Greenplum prints it', async (t) => {
  const db = await database(t)
  await db.exec("SET timezone = 'UTC'")
  for (let times = 0; times < 2; times++)
    await db.exec((await refreshSql(['gp_stat_replication'], showing(live))) ?? '')
  const { rows } = await db.query<{ line: string }>(
    `SELECT concat_ws('|', gp_segment_id, pid, usesysid, usename, application_name, client_addr, client_port, backend_start, state, sent_lsn,
       replay_lsn, write_lag, flush_lag, coalesce(replay_lag::text, 'null'), sync_priority, sync_state, sync_error) AS line
     FROM gp_stat_replication`,
  )
  t.same(
    rows.map(({ line }) => line),
    [
      '-1|12658|10|postgres|gp_walreceiver|127.0.0.1|50570|2026-11-20 08:40:46.921+00|streaming|0/C019500|1/C0194F0|00:00:00.000068|00:00:00.000069|null|1|sync|none',
      '0|null|none',
    ],
    'a refresh replaces the rows',
  )
})

t.test(
  'gp_master_mirroring always has one row; pg_settings has what SHOW says, in the units of the settings',
  async (t) => {
    const db = await database(t)
    await db.exec((await refreshSql(['gp_master_mirroring'], showing(live))) ?? '')
    const standby = { ...live.standby, summary: 'Synchronized', changedAt: 1_000 } as const
    await db.exec((await refreshSql(['gp_master_mirroring'], showing({ ...live, standby }))) ?? '')
    const { rows } = await db.query(
      'SELECT summary_state, detail_state, extract(epoch FROM log_time)::int AS at FROM gp_master_mirroring',
    )
    t.same(rows, [{ summary_state: 'Synchronized', detail_state: null, at: 1 }])
    await showsSettings(t, db)
  },
)

t.test('the cluster is not asked for what does not show it', async (t) => {
  const sources = { cluster: () => Promise.reject(new Error('asked')), sessions: () => [] }
  t.equal(await refreshSql([], sources), undefined)
  t.equal(await refreshSql(['mirabelle_activity'], sources), 'DELETE FROM pg_catalog.mirabelle_activity')
  await t.rejects(refreshSql(['gp_segment_status'], sources), { message: 'asked' })
})

/** The settings of this cluster as pg_settings shows them. */
async function showsSettings(t: Test, db: PGlite): Promise<void> {
  const row = (name: 'gp_fts_probe_interval' | 'max_wal_size' | 'statement_timeout', value: string) => ({
    ...{ name, value, range: '', reload: true, description: name },
    default: formatSetting(name, settingsCatalog[name].default),
    source: 'changed' as const,
  })
  const rows = [
    row('gp_fts_probe_interval', '1500ms'),
    row('max_wal_size', '2GB'),
    row('statement_timeout', '0'),
  ]
  const shown = new Map([
    ['statement_timeout', '7s'],
    ['port', '6432'],
  ])
  for (let times = 0; times < 2; times++) await db.exec(settingsViewSql(rows, (name) => shown.get(name)))
  const { rows: found } = await db.query(
    `SELECT name, setting, unit, context, source, boot_val FROM pg_settings
     WHERE name IN ('gp_fts_probe_interval', 'max_wal_size', 'statement_timeout', 'port', 'work_mem') ORDER BY name`,
  )
  t.match(found, [
    { name: 'gp_fts_probe_interval', setting: '1500', unit: 'ms', context: 'sighup', boot_val: '5000' },
    { name: 'max_wal_size', setting: '2048', unit: 'MB', source: 'configuration file', boot_val: '1024' },
    { name: 'port', setting: '6432', unit: null, context: 'internal' },
    { name: 'statement_timeout', setting: '7000', unit: 'ms', context: 'user', source: 'session' },
    { name: 'work_mem', unit: 'kB' },
  ])
}
