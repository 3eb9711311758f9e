/** Sessions end to end: transactions, settings, prepared statements, cursors, roles; nothing of one session is seen by another. */
import t from 'tap'
import type pg from 'pg'
import { MirabelleError, settingsCatalog, type SettingRow } from '@mirabelle/messages'
import { startLocalCluster, type LocalCluster } from './support/local-cluster.ts'

let cluster: LocalCluster
let a: pg.Client
let b: pg.Client

/** What ALTER SYSTEM asked for, and who is to have failed. */
const altered: Readonly<Record<string, string | null>>[] = []
let unreached: readonly number[] = []

t.before(async () => {
  cluster = await startLocalCluster({
    hooks: {
      showSetting: (name) => (name === 'failover_timeout' ? '30s' : undefined),
      settingRows: () => [settingRow('failover_timeout', '30s'), settingRow('work_mem', 'ours')],
      configure: (change) => {
        if (Object.values(change).includes('bad'))
          return Promise.reject(new MirabelleError('setting.invalid', 'invalid value (from 0 to 1h)'))
        altered.push(change)
        return Promise.resolve(
          unreached.map((dbid) => ({ dbid, content: 0, outcome: 'failed' as const, message: 'away' })),
        )
      },
    },
  })
  a = await cluster.client()
  b = await cluster.client()
  await a.query('CREATE TABLE kv (k int PRIMARY KEY, v text)')
})
t.teardown(() => cluster.stop())

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: { code: string }) => error.code,
  )
const rows = async (client: pg.Client, sql: string, values?: unknown[]): Promise<unknown[]> =>
  (await client.query({ text: sql, values: values ?? [], rowMode: 'array' })).rows

t.test('a committed transaction over several contents is there, a rolled back one is not', async (t) => {
  await a.query('BEGIN')
  for (let k = 1; k <= 10; k++) await a.query('INSERT INTO kv VALUES ($1, $2)', [k, 'x'])
  await a.query('COMMIT')
  t.strictSame(await rows(b, 'SELECT count(*)::int FROM kv'), [[10]])
  await a.query('BEGIN')
  await a.query('DELETE FROM kv')
  t.strictSame(await rows(a, 'SELECT count(*)::int FROM kv'), [[0]], 'it sees its own changes, gathered')
  await a.query('ROLLBACK')
  t.strictSame(await rows(b, 'SELECT count(*)::int FROM kv'), [[10]])
})

t.test('an error fails the transaction until it is rolled back', async (t) => {
  await a.query('BEGIN')
  t.equal(await code(a.query('INSERT INTO kv VALUES (1, $1)', ['again'])), '23505')
  t.equal(await code(a.query('SELECT 1')), '25P02')
  t.equal((await a.query('COMMIT')).command, 'ROLLBACK')
  t.equal(await code(a.query('SELECT 1')), 'none')
})

t.test('savepoints undo what came after them, on all contents', async (t) => {
  await a.query('BEGIN')
  await a.query("UPDATE kv SET v = 'before' WHERE k <= 5")
  await a.query('SAVEPOINT s')
  await a.query("UPDATE kv SET v = 'after'")
  t.equal(await code(a.query('INSERT INTO kv VALUES (1, $1)', ['again'])), '23505')
  await a.query('ROLLBACK TO SAVEPOINT s')
  t.strictSame(await rows(a, "SELECT count(*)::int FROM kv WHERE v = 'before'"), [[5]])
  await a.query('RELEASE SAVEPOINT s')
  await a.query('COMMIT')
  t.strictSame(await rows(b, "SELECT count(*)::int FROM kv WHERE v = 'after'"), [[0]])
  t.strictSame(await rows(b, "SELECT count(*)::int FROM kv WHERE v = 'before'"), [[5]])
})

t.test('a SET inside a savepoint that is undone is made again when it is asked for again', async (t) => {
  await a.query('BEGIN')
  await a.query('SAVEPOINT s')
  await a.query("SET TimeZone = 'Asia/Tokyo'")
  await a.query('SELECT v, now() FROM kv WHERE k = 1')
  await a.query('ROLLBACK TO s')
  await a.query("SET TimeZone = 'Asia/Tokyo'")
  const [row] = await rows(a, "SELECT to_char(now(), 'TZ') FROM kv WHERE k = 1")
  t.strictSame(row, ['JST'])
  await a.query('ROLLBACK')
  t.strictSame(await rows(a, "SELECT to_char(now(), 'TZ') FROM kv WHERE k = 1"), [['UTC']])
})

t.test('settings belong to their session', async (t) => {
  await a.query("SET TimeZone = 'Europe/Berlin'")
  await a.query("SET my.setting = 'a'")
  t.strictSame(await rows(a, 'SHOW TimeZone'), [['Europe/Berlin']])
  t.strictSame(await rows(b, 'SHOW TimeZone'), [['UTC']])
  t.strictSame(await rows(a, "SELECT current_setting('my.setting')"), [['a']])
  t.strictSame(await rows(b, "SELECT coalesce(current_setting('my.setting', true), '')"), [['']])
  t.strictSame(await rows(a, "SELECT current_setting('TimeZone') FROM kv WHERE k = 1"), [['Europe/Berlin']])
  t.strictSame(await rows(b, "SELECT current_setting('TimeZone') FROM kv WHERE k = 1"), [['UTC']])
  t.equal(await code(a.query("SET TimeZone = 'Nowhere/Never'")), '22023')
  await a.query('RESET ALL')
  t.strictSame(await rows(a, 'SHOW TimeZone'), [['UTC']])
  await a.query("SET statement_timeout = '5s'")
  t.strictSame(await rows(a, 'SHOW statement_timeout'), [['5s']])
  await a.query('DISCARD ALL')
})

function settingRow(name: string, value: string): SettingRow {
  return { name, value, default: value, range: '', source: 'default', reload: true, description: 'its words' }
}

t.test('ALTER SYSTEM changes settings of the cluster, for superusers, outside transactions', async (t) => {
  await a.query('ALTER SYSTEM SET failover_timeout = 5000')
  await a.query("ALTER SYSTEM SET failover_timeout TO '5s'")
  await a.query('ALTER SYSTEM RESET failover_timeout')
  t.same(altered.splice(0), [
    { failover_timeout: '5000' },
    { failover_timeout: '5s' },
    { failover_timeout: null },
  ])
  await a.query('ALTER SYSTEM RESET ALL')
  const all = Object.keys(altered.splice(0)[0] ?? {})
  t.same(
    Object.keys(settingsCatalog).filter((name) => !all.includes(name)),
    ['loopback_trust'],
    'nobody is locked out by tidying up',
  )
  t.equal(await code(a.query("ALTER SYSTEM SET failover_timeout = 'bad'")), '22023')
  t.equal(await code(a.query('ALTER SYSTEM SET no_such_setting = 1')), '42704')
  t.equal(await code(a.query("ALTER SYSTEM SET work_mem = '8MB'")), '0A000')
  await a.query('BEGIN')
  t.equal(await code(a.query('ALTER SYSTEM RESET failover_timeout')), '25001')
  await a.query('ROLLBACK')
  await a.query('CREATE ROLE plain LOGIN')
  await a.query('SET ROLE plain')
  t.equal(await code(a.query('ALTER SYSTEM RESET failover_timeout')), '42501')
  t.equal(await code(a.query('ALTER SYSTEM RESET ALL')), '42501')
  await a.query('RESET ROLE')
  t.same(altered, [])
  t.strictSame(await rows(a, 'SELECT pg_reload_conf()'), [[true]], 'the habit does no harm')
})

t.test('ALTER SYSTEM tells which instances do not have the change yet', async (t) => {
  const notices: string[] = []
  const listen = (notice: { message?: string | undefined }) => void notices.push(notice.message ?? '')
  a.on('notice', listen)
  unreached = [3, 5]
  await a.query('ALTER SYSTEM RESET failover_timeout')
  unreached = []
  a.off('notice', listen)
  t.same(notices, ['the change is recorded, but not in force yet on dbid 3, 5'])
})

t.test(
  'SHOW ALL has the settings of PostgreSQL and of the cluster, by name, ours in front of its',
  async (t) => {
    await a.query("SET TimeZone = 'Europe/Berlin'")
    const simple = await rows(a, 'SHOW ALL')
    const names = (simple as string[][]).map(([name]) => name?.toLowerCase() ?? '')
    t.same(names, [...names].sort())
    const byName = new Map((simple as string[][]).map(([name, value, words]) => [name, [value, words]]))
    t.same(byName.get('failover_timeout'), ['30s', 'its words'])
    t.same(byName.get('work_mem'), ['ours', 'its words'])
    t.equal(byName.get('TimeZone')?.[0], 'Europe/Berlin', 'as this session sees them')
    t.ok(names.length > 300)
    await a.query('RESET ALL')
  },
)

t.test('settings of the cluster are not changed by a session', async (t) => {
  for (const sql of ["SET failover_timeout = '1s'", 'RESET failover_timeout'])
    t.equal(await code(a.query(sql)), '55P02', sql)
})

t.test('a setting that would break a promise of the cluster cannot be changed', async (t) => {
  for (const sql of [
    'SET synchronous_commit = off',
    'SET synchronous_commit = local',
    "SELECT set_config('synchronous_commit', 'off', false)",
    'SET standard_conforming_strings = off',
    'ALTER ROLE postgres SET synchronous_commit = off',
    "ALTER ROLE ALL SET client_encoding = 'LATIN1'",
    "CREATE FUNCTION lax() RETURNS int LANGUAGE sql SET synchronous_commit = off AS 'SELECT 1'",
    'ALTER FUNCTION pg_catalog.now() SET synchronous_commit TO local',
  ]) {
    t.equal(await code(a.query(sql)), '0A000', sql)
  }
  await a.query('SET synchronous_commit = on')
  await a.query('RESET synchronous_commit')
  t.strictSame(await rows(a, "SELECT current_setting('synchronous_commit') FROM kv WHERE k = 1"), [['on']])
})

t.test('SET follows its transaction, SET LOCAL ends with it', async (t) => {
  await a.query('BEGIN')
  await a.query("SET TimeZone = 'Asia/Tokyo'")
  await a.query('ROLLBACK')
  t.strictSame(await rows(a, 'SHOW TimeZone'), [['UTC']])
  await a.query('BEGIN')
  await a.query("SET LOCAL TimeZone = 'Asia/Tokyo'")
  t.strictSame(await rows(a, 'SHOW TimeZone'), [['Asia/Tokyo']])
  await a.query('COMMIT')
  t.strictSame(await rows(a, 'SHOW TimeZone'), [['UTC']])
})

t.test('prepared statements belong to their session', async (t) => {
  await a.query('PREPARE p (int) AS SELECT v FROM kv WHERE k = $1')
  t.strictSame(await rows(a, 'EXECUTE p (1)'), [['before']])
  t.strictSame(await rows(a, 'EXECUTE p (1 + 1)'), [['before']])
  t.equal(await code(b.query('EXECUTE p (1)')), '26000')
  await a.query('DEALLOCATE p')
  t.equal(await code(a.query('EXECUTE p (1)')), '26000')
  const named = { name: 'byKey', text: 'SELECT v FROM kv WHERE k = $1', values: [3] }
  t.strictSame((await a.query(named)).rows, [{ v: 'before' }])
  t.strictSame((await a.query({ ...named, values: [9] })).rows, [{ v: 'x' }])
})

t.test('cursors hand out rows by and by', async (t) => {
  await a.query('BEGIN')
  await a.query('DECLARE c CURSOR FOR SELECT k FROM kv ORDER BY k')
  t.strictSame(await rows(a, 'FETCH 3 FROM c'), [[1], [2], [3]])
  t.strictSame(await rows(a, 'FETCH ALL FROM c'), [[4], [5], [6], [7], [8], [9], [10]])
  t.equal(await code(b.query('FETCH 1 FROM c')), '34000')
  await a.query('COMMIT')
  t.equal(await code(a.query('FETCH 1 FROM c')), '34000')
})

t.test('a role sees only what it was granted, everywhere', async (t) => {
  await a.query('CREATE ROLE bob LOGIN')
  await a.query('CREATE TABLE secret (id int PRIMARY KEY, s text)')
  await a.query("INSERT INTO secret VALUES (1, 'a'), (2, 'b'), (3, 'c')")
  await a.query('GRANT SELECT, INSERT ON kv TO bob')
  const bob = await cluster.client({ user: 'bob' })
  t.strictSame(await rows(bob, 'SELECT session_user::text, current_user::text'), [['bob', 'bob']])
  t.equal(await code(bob.query('SELECT * FROM secret WHERE id = 1')), '42501')
  t.equal(await code(bob.query('SELECT * FROM secret')), '42501')
  t.equal(await code(bob.query('SELECT count(*) FROM secret')), '42501')
  t.equal(await code(bob.query('SET SESSION AUTHORIZATION postgres')), '42501')
  t.equal(await code(bob.query('SET ROLE postgres')), '42501')
  await bob.query('BEGIN')
  await bob.query("INSERT INTO kv VALUES (101, 'bob'), (102, 'bob'), (103, 'bob'), (104, 'bob')")
  await bob.query('COMMIT')
  t.strictSame(
    await rows(a, "SELECT count(*)::int FROM kv WHERE v = 'bob'"),
    [[4]],
    'two-phase commit as bob',
  )
  t.equal(await code(a.query('SELECT * FROM secret')), 'none', 'the next session has its own rights again')
  await a.query('SET ROLE bob')
  t.equal(await code(a.query('SELECT * FROM secret')), '42501')
  await a.query('RESET ROLE')
  t.equal(await code(a.query('SELECT * FROM secret')), 'none')
  await a.query('DELETE FROM kv WHERE k > 100')
})

t.test('a deadlock ends with 40P01 for one of two', async (t) => {
  const on = async (content: number): Promise<number> => {
    for (let k = 1; ; k++) {
      const [row] = await rows(a, `EXPLAIN SELECT * FROM kv WHERE k = ${k}`)
      const text = JSON.stringify(await rows(a, `EXPLAIN SELECT * FROM kv WHERE k = ${k}`))
      if (row !== undefined && text.includes(`Segment ${content}:`)) return k
    }
  }
  const k0 = await on(0)
  const k1 = await on(1)
  // New sessions: one that has met both segments before enters their lanes together, and meets nobody there.
  const [c, d] = [await cluster.client(), await cluster.client()]
  await c.query('BEGIN')
  await d.query('BEGIN')
  await c.query(`UPDATE kv SET v = 'a' WHERE k = ${k0}`)
  await d.query(`UPDATE kv SET v = 'b' WHERE k = ${k1}`)
  const codes = await Promise.all([
    code(c.query(`UPDATE kv SET v = 'a' WHERE k = ${k1}`)),
    code(d.query(`UPDATE kv SET v = 'b' WHERE k = ${k0}`)),
  ])
  t.strictSame([...codes].sort(), ['40P01', 'none'])
  await Promise.all([c.query('COMMIT'), d.query('COMMIT')])
})

t.test('lock_timeout, statement_timeout and cancel requests end a wait', async (t) => {
  await a.query('BEGIN')
  await a.query("UPDATE kv SET v = 'held'")
  await b.query("SET lock_timeout = '50ms'")
  await b.query('BEGIN')
  t.equal(await code(b.query('SELECT * FROM kv WHERE k = 1')), '55P03')
  await b.query('ROLLBACK')
  await b.query('RESET lock_timeout')
  await b.query("SET statement_timeout = '50ms'")
  t.equal(await code(b.query('SELECT * FROM kv WHERE k = 1')), '57014')
  await b.query('RESET statement_timeout')
  await a.query('ROLLBACK')
  await b.query("SET statement_timeout = '200ms'")
  t.equal(await code(b.query('SELECT count(*) FROM kv a, kv b, generate_series(1, 100000000) g')), '57014')
  await b.query('RESET statement_timeout')
  t.equal(await code(b.query('SELECT 1')), 'none')
})

t.test('a session that goes in the middle of a transaction leaves nothing', async (t) => {
  const gone = await cluster.client()
  await gone.query('BEGIN')
  await gone.query("UPDATE kv SET v = 'gone'")
  await gone.query('CREATE TABLE never (id int)')
  ;(gone as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  t.strictSame(await rows(b, "SELECT count(*)::int FROM kv WHERE v = 'gone'"), [[0]])
  t.equal(await code(b.query('SELECT * FROM never')), '42P01')
})

t.test('several statements in one message are one transaction', async (t) => {
  t.equal(
    await code(a.query("INSERT INTO kv VALUES (200, 'm'); INSERT INTO kv VALUES (201, 'm'); SELECT 1/0")),
    '22012',
  )
  t.strictSame(await rows(a, 'SELECT count(*)::int FROM kv WHERE k >= 200'), [[0]])
  await a.query('CREATE TABLE multi (id int PRIMARY KEY); INSERT INTO multi VALUES (1), (2), (3)')
  t.strictSame(await rows(a, 'SELECT count(*)::int FROM multi'), [[3]])
})

t.test('schema changes are part of transactions', async (t) => {
  await a.query('BEGIN')
  await a.query('CREATE TABLE undone (id int PRIMARY KEY)')
  await a.query('INSERT INTO undone VALUES (1), (2), (3)')
  t.strictSame(await rows(a, 'SELECT count(*)::int FROM undone'), [[3]])
  await a.query('ROLLBACK')
  t.equal(await code(a.query('SELECT * FROM undone')), '42P01')
  await a.query('CREATE TABLE copied AS SELECT k, count(*) AS n FROM kv GROUP BY k DISTRIBUTED BY (k)')
  t.strictSame(await rows(b, 'SELECT sum(n)::int FROM copied'), [[10]])
})

t.test('serial columns draw from one sequence', async (t) => {
  await a.query('CREATE TABLE s (id serial PRIMARY KEY, v text)')
  await Promise.all(
    [1, 2, 3, 4].map((n) => (n % 2 === 0 ? a : b).query("INSERT INTO s (v) VALUES ('x'), ('y')")),
  )
  const back = await rows(a, "INSERT INTO s (v) VALUES ('z') RETURNING id, v")
  t.strictSame(back, [[9, 'z']])
  await a.query('INSERT INTO s (v) SELECT v FROM s')
  t.strictSame(await rows(a, 'SELECT count(DISTINCT id)::int, max(id)::int FROM s'), [[18, 18]])
})
