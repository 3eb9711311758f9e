/** The views of the cluster through SQL: filled anew before each statement that reads them, whatever kind it is; changed by the cluster only. */
import t, { type Test } from 'tap'
import type pg from 'pg'
import { startLocalCluster, type LocalCluster } from './support/local-cluster.ts'

let cluster: LocalCluster
let client: pg.Client
/** What was asked to be filled since the last look. */
let refreshed: string[] = []
/** What the next refresh finds. */
let state = 'primary'

t.before(async () => {
  cluster = await startLocalCluster({
    hooks: {
      refreshLiveViews: (names) => {
        refreshed.push(...names)
        return Promise.resolve(
          names
            .map((name) =>
              name === 'gp_segment_status'
                ? `DELETE FROM pg_catalog.gp_segment_status; INSERT INTO pg_catalog.gp_segment_status (dbid, content, state) VALUES (2, 0, '${state}')`
                : `DELETE FROM pg_catalog.${name}; INSERT INTO pg_catalog.gp_stat_replication (gp_segment_id, state) VALUES (-1, '${state}'), (0, '${state}')`,
            )
            .join('; '),
        )
      },
    },
  })
  client = await cluster.client()
  await client.query('CREATE TABLE kv (k int PRIMARY KEY, v text)')
  await client.query("INSERT INTO kv SELECT i, 'x' FROM generate_series(0, 9) i")
  await client.query('CREATE VIEW direct AS SELECT dbid, content, state FROM gp_segment_status')
  await client.query('CREATE VIEW through AS SELECT d.state FROM direct d JOIN kv ON kv.k = d.content')
})
t.teardown(() => cluster.stop())

const values = async (sql: string): Promise<unknown[]> =>
  (await client.query<unknown[]>({ text: sql, rowMode: 'array' })).rows.flat()
const code = (sql: string): Promise<string> =>
  client.query(sql).then(
    () => 'none',
    (error: { code: string }) => error.code,
  )
/** Runs it with a state that nobody has seen before; it must show. */
let count = 0
async function shows(t: Test, sql: string, names = ['gp_segment_status']): Promise<void> {
  state = `state${++count}`
  refreshed = []
  const [found] = await values(sql)
  t.equal(found, state, sql)
  t.same(refreshed, names, sql)
}

t.test('every kind of statement sees the state of now', async (t) => {
  const status = ['SELECT state FROM gp_segment_status', 'SELECT state FROM pg_catalog.gp_segment_status']
  for (const sql of [...status, ...status]) await shows(t, sql)
  await shows(
    t,
    'WITH s AS (SELECT * FROM gp_segment_status) SELECT state FROM s WHERE dbid = 2 ORDER BY dbid',
  )
  await shows(t, 'SELECT (SELECT max(state) FROM gp_segment_status)')
  await shows(t, 'SELECT state FROM direct')
  await shows(t, 'SELECT s.state FROM kv JOIN gp_segment_status s ON s.content = kv.k')
  await shows(t, 'SELECT state FROM through')
  await shows(t, 'SELECT state FROM gp_stat_replication WHERE gp_segment_id >= 0', ['gp_stat_replication'])
  await shows(t, 'SELECT state FROM pg_stat_replication', ['gp_stat_replication'])
  refreshed = []
  await values('SELECT active FROM pg_replication_slots')
  t.same(refreshed, ['gp_stat_replication'], 'a slot is active while somebody streams')
  refreshed = []
  t.same(await values('SELECT count(*)::int FROM pg_stat_replication'), [1], 'the streams of the coordinator')
})

t.test('what writes or keeps the rows takes those of now, too', async (t) => {
  state = 'kept'
  await client.query('CREATE TABLE kept AS SELECT dbid, state FROM gp_segment_status DISTRIBUTED BY (dbid)')
  t.same(await values('SELECT state FROM kept'), ['kept'])
  state = 'inserted'
  await client.query('INSERT INTO kept SELECT 7, state FROM gp_segment_status')
  t.same(await values('SELECT state FROM kept WHERE dbid = 7'), ['inserted'])
  await client.query('BEGIN')
  state = 'cursor'
  await client.query('DECLARE c CURSOR FOR SELECT state FROM gp_segment_status')
  t.same(await values('FETCH ALL FROM c'), ['cursor'])
  await client.query('COMMIT')
})

t.test('a prepared statement sees the state of each of its runs', async (t) => {
  for (const now of ['first', 'second']) {
    state = now
    const { rows } = await client.query({
      name: 'p',
      text: 'SELECT state FROM gp_segment_status WHERE dbid = $1',
      values: [2],
    })
    t.same(rows, [{ state: now }])
  }
  await client.query('PREPARE q AS SELECT state FROM direct')
  for (const now of ['third', 'fourth']) {
    state = now
    t.same(await values('EXECUTE q'), [now])
  }
})

t.test('a statement that reads none of them asks nobody', async (t) => {
  refreshed = []
  await values('SELECT count(*) FROM kv')
  await values('SELECT count(*) FROM gp_segment_configuration')
  await values('SELECT 1')
  t.same(refreshed, [])
})

t.test('the catalog is changed by the cluster only, also by a superuser', async (t) => {
  for (const sql of [
    "UPDATE gp_segment_configuration SET role = 'p'",
    'DELETE FROM pg_catalog.gp_configuration_history',
    'INSERT INTO mirabelle_setting VALUES (1, 2)',
    'WITH gone AS (DELETE FROM gp_segment_configuration RETURNING dbid) SELECT * FROM gone',
    'TRUNCATE gp_stat_replication',
    'TRUNCATE kv, gp_stat_replication',
    'DROP TABLE kv, pg_catalog.gp_segment_configuration',
    'ALTER TABLE gp_segment_configuration ADD COLUMN more int',
    'ALTER TABLE gp_segment_configuration RENAME TO other',
    'CREATE INDEX ON gp_segment_configuration (dbid)',
    'COPY gp_segment_configuration FROM STDIN',
    'EXPLAIN DELETE FROM dtx_committed',
    "UPDATE pg_class SET relname = 'x'",
  ])
    t.equal(await code(sql), '42501', sql)
  for (const sql of [
    'ANALYZE gp_configuration_history',
    'CREATE TABLE alike (LIKE gp_segment_configuration)',
    'DROP TABLE alike',
    'DROP VIEW through, direct',
  ])
    t.equal(await code(sql), 'none', sql)
})
