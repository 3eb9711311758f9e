// Settings of a running cluster through the command and through SQL: in force at once, kept by the catalog, and given to whoever was away. Beside that
// the views and `state --watch`, which need a real cluster too.
import t, { type Test } from 'tap'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import type { ClusterState, SettingRow } from '@mirabelle/messages'
import { inSync, TestCluster, waitFor } from '@mirabelle/testkit/cluster'
import { commandOn } from './support/command.ts'

const cluster = await TestCluster.start({
  segments: 1,
  hosts: 2,
  settings: { gp_fts_probe_interval: '3s', loopback_trust: 'on' },
})
t.teardown(() => cluster.close())
t.setTimeout(600_000)

const mirabelle = commandOn(cluster.dir)

/** What an instance has on its disk. */
async function keptBy(dbid: number, name: string): Promise<string | undefined> {
  const path = join(cluster.instance(dbid).datadir, 'state', 'assignment.json')
  const { settings } = JSON.parse(await readFile(path, 'utf8')) as { settings: Record<string, string> }
  return settings[name]
}
const all = cluster.facts.rows.map(({ dbid }) => dbid)
async function everywhere(t: Test, name: string, value: string | undefined, dbids = all): Promise<void> {
  const kept = await Promise.all(dbids.map((dbid) => keptBy(dbid, name)))
  t.same(
    kept,
    dbids.map(() => value),
    `${name} is ${value ?? 'its default'} on dbid ${dbids.join(', ')}`,
  )
}
async function shown(name: string): Promise<unknown> {
  return Object.values((await cluster.query(`SHOW ${name}`))[0] ?? {})[0]
}
const setting = async (name: string): Promise<SettingRow> =>
  JSON.parse((await mirabelle('config', 'get', name, '--json')).stdout) as SettingRow

await cluster.waitForCatalog('the pair in sync', inSync)

await t.test('config shows what init was given, with the ranges', async (t) => {
  const { status, stdout } = await mirabelle('config', 'list')
  t.equal(status, 0)
  t.match(stdout, /gp_fts_probe_interval +3s +5s +from 100ms to 1h +at once/)
  const changed = JSON.parse((await mirabelle('config', 'list', '--changed', '--json')).stdout) as {
    settings: SettingRow[]
  }
  t.same(
    changed.settings.map(({ name }) => name),
    ['gp_fts_probe_interval', 'loopback_trust'],
  )
  t.match(await setting('failover_timeout'), { value: '30s', source: 'default', reload: true })
})

await t.test('a change is in force everywhere when the command has ended', async (t) => {
  const { status, stdout } = await mirabelle('config', 'set', 'gp_fts_probe_interval', '2s')
  t.equal(status, 0)
  t.match(stdout, 'gp_fts_probe_interval = 2s (was 3s), takes effect at once')
  await everywhere(t, 'gp_fts_probe_interval', '2s')
  t.equal(await shown('gp_fts_probe_interval'), '2s')
  t.same(await cluster.query("SELECT value FROM mirabelle_setting WHERE name = 'gp_fts_probe_interval'"), [
    { value: '2s' },
  ])
})

await t.test('what is out of range is refused with the range, and changes nothing', async (t) => {
  const high = await mirabelle('config', 'set', 'gp_fts_probe_interval=2h')
  t.equal(high.status, 2)
  t.match(high.stderr, 'invalid value for "gp_fts_probe_interval": "2h" (from 100ms to 1h)')
  const unknown = await mirabelle('config', 'set', 'gp_probe', '1s')
  t.equal(unknown.status, 2)
  t.match(unknown.stderr, /no setting "gp_probe"/)
  await t.rejects(cluster.query("ALTER SYSTEM SET gp_fts_probe_interval = '1ms'"), {
    code: '22023',
    message: /from 100ms to 1h/,
  })
  t.equal(await shown('gp_fts_probe_interval'), '2s')
})

await t.test('ALTER SYSTEM does the same through SQL', async (t) => {
  await cluster.query('ALTER SYSTEM SET gp_fts_probe_timeout = 2')
  t.match(await setting('gp_fts_probe_timeout'), { value: '2s', default: '1s', source: 'changed' })
  await everywhere(t, 'gp_fts_probe_timeout', '2s')
  await cluster.query('ALTER SYSTEM RESET gp_fts_probe_timeout')
  await everywhere(t, 'gp_fts_probe_timeout', undefined)
  const shownAll = await cluster.query<{ name: string; setting: string }>('SHOW ALL')
  t.match(
    shownAll.find(({ name }) => name === 'gp_fts_probe_interval'),
    { setting: '2s' },
  )
  t.ok(shownAll.find(({ name }) => name === 'work_mem'))
})

await t.test('max_connections holds for the next client', async (t) => {
  await cluster.query('ALTER SYSTEM SET max_connections = 1')
  const { host, port } = cluster.cluster.coordinator
  const second = new pg.Client({ host, port, user: 'postgres', database: 'postgres' })
  await t.rejects(second.connect(), { code: '53300', detail: 'max_connections leaves room for 1.' })
  t.equal(
    (await mirabelle('config', 'reset', 'max_connections')).status,
    0,
    'the command is no client: nobody is locked out',
  )
  const client = await cluster.connect()
  await client.end()
})

await t.test('state --watch looks as often as it is told', async (t) => {
  const { status, stdout } = await mirabelle(
    'state',
    '--watch',
    '--interval',
    '0.1',
    '--count',
    '3',
    '--json',
  )
  t.equal(status, 0)
  const looks = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as ClusterState)
  t.equal(looks.length, 3)
  t.same(
    looks.map(({ cluster: { epoch } }) => epoch),
    [1, 1, 1],
  )
  const text = await mirabelle('state', '--watch', '--interval', '0.1', '--count', '2', '-p')
  t.equal(text.stdout.match(/every 0.1 s/g)?.length, 2)
  t.equal(text.stdout.match(/Segment instance port assignments/g)?.length, 2)
})

await t.test('an instance that was away has the change when it is back, whoever starts it', async (t) => {
  const mirror = await cluster.mirrorOf(0)
  await cluster.cluster.kill(mirror.dbid)
  await cluster.waitForCatalog('the mirror marked down', (rows) => rows.some(({ status }) => status === 'd'))
  t.same(
    await cluster.query('SELECT gp_segment_id, state, sync_error FROM gp_stat_replication ORDER BY 1'),
    [
      { gp_segment_id: -1, state: 'streaming', sync_error: 'none' },
      { gp_segment_id: 0, state: null, sync_error: 'none' },
    ],
    'the segment has a row that says that nobody follows it',
  )
  const { status, stdout } = await mirabelle('config', 'set', 'failover_timeout', '20s')
  t.equal(status, 0, 'what is marked down needs no second word')
  t.match(
    stdout,
    new RegExp(`dbid ${mirror.dbid} \\(content 0\\): gets the settings when it is reached again`),
  )
  t.equal(await keptBy(mirror.dbid, 'failover_timeout'), undefined)
  // An administrator starts it by hand, with what it was started with before.
  await cluster.ask(cluster.agentOf(mirror.dbid), {
    type: 'agent.start',
    assignment: await cluster.lastAssignment(mirror.dbid),
  })
  await waitFor(
    'the settings at the instance',
    async () => (await keptBy(mirror.dbid, 'failover_timeout')) === '20s',
  )
  await cluster.waitForCatalog('the pair in sync', inSync)
})

await t.test('a coordinator that is started again by the command obeys its catalog', async (t) => {
  await cluster.cluster.kill(cluster.cluster.coordinator.dbid)
  await cluster.cluster.start()
  t.equal(await shown('gp_fts_probe_interval'), '2s', 'cluster.json still says 3 s')
  t.equal(await shown('failover_timeout'), '20s')
  await everywhere(t, 'failover_timeout', '20s')
  await waitFor(
    'a standby that streams',
    async () => (await cluster.cluster.state()).cluster.standby === 'streaming',
  )
})

await t.test('an activated standby has the settings, and so has who missed a change', async (t) => {
  const { coordinator } = cluster.cluster
  const old = coordinator.dbid
  t.equal((await mirabelle('config', 'set', 'failover_timeout', '25s')).status, 0)
  await cluster.cluster.kill(old)
  await cluster.cluster.activateStandby()
  t.equal(await shown('failover_timeout'), '25s')
  t.equal((await mirabelle('config', 'reset', '--all')).status, 0)
  await everywhere(
    t,
    'failover_timeout',
    undefined,
    all.filter((dbid) => dbid !== old),
  )
  t.equal(await shown('gp_fts_probe_interval'), '5s')
  t.equal(await shown('loopback_trust'), 'on', 'nobody is locked out by tidying up')
  t.same(await cluster.query('SELECT count(*)::int AS streams FROM pg_stat_replication'), [{ streams: 0 }])
  t.match(await cluster.query('SELECT * FROM gp_master_mirroring'), [{ summary_state: 'Not Configured' }])
})
