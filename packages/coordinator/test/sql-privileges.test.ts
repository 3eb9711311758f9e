/** Who may do what: the same on the coordinator and on segments, whatever way a statement goes. Real engines; `alice` is nobody special. */
import t, { type Test } from 'tap'
import type pg from 'pg'
import { startLocalCluster, type LocalCluster } from './support/local-cluster.ts'

let cluster: LocalCluster
let root: pg.Client
let alice: pg.Client

t.before(async () => {
  cluster = await startLocalCluster()
  root = await cluster.client()
  for (const sql of [
    "CREATE ROLE alice LOGIN PASSWORD 'first secret'",
    'CREATE ROLE bob LOGIN',
    'CREATE ROLE staff',
    'GRANT staff TO alice',
    'GRANT CREATE, USAGE ON SCHEMA public TO alice',
    'CREATE TABLE hidden (k int PRIMARY KEY, v text)',
    "INSERT INTO hidden SELECT i, 'v' || i FROM generate_series(1, 8) i",
    'CREATE TABLE partly (k int PRIMARY KEY, a text, b text)',
    "INSERT INTO partly SELECT i, 'a' || i, 'b' || i FROM generate_series(1, 8) i",
    'GRANT SELECT (k, a), UPDATE (a) ON partly TO alice',
    'CREATE TABLE shared (k int PRIMARY KEY, owner text)',
    "INSERT INTO shared SELECT i, CASE i % 2 WHEN 0 THEN 'alice' ELSE 'bob' END FROM generate_series(1, 8) i",
    'GRANT ALL ON shared TO alice, bob',
    'ALTER TABLE shared ENABLE ROW LEVEL SECURITY',
    'CREATE POLICY own ON shared USING (owner = current_user)',
    'CREATE TABLE staffed (k int PRIMARY KEY, v text)',
    'GRANT ALL ON staffed TO staff',
  ])
    await root.query(sql)
  alice = await cluster.client({ user: 'alice' })
})
t.teardown(() => cluster.stop())

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: { code: string }) => error.code,
  )
const rows = async (client: pg.Client, sql: string, values?: unknown[]): Promise<unknown[]> =>
  (await client.query({ text: sql, values: values ?? [], rowMode: 'array' })).rows
/** Simple and extended protocol: they take different ways. */
async function refused(test: Test, client: pg.Client, sql: string, expected = '42501'): Promise<void> {
  test.equal(await code(client.query(sql)), expected, sql)
  test.equal(await code(client.query({ text: sql, values: [], name: '' })), expected, `${sql} (extended)`)
}
const whoAmI = (client: pg.Client): Promise<unknown[]> => rows(client, 'SELECT current_user, session_user')

t.test('a table without a grant is closed in every way that a statement can go', async (t) => {
  for (const sql of [
    'SELECT * FROM hidden',
    'SELECT v FROM hidden WHERE k = 1',
    'SELECT count(*) FROM hidden',
    'SELECT s.k FROM hidden h JOIN shared s ON s.k = h.k',
    'SELECT (SELECT max(v) FROM hidden)',
    'INSERT INTO hidden VALUES (100, $$x$$)',
    'INSERT INTO shared SELECT k + 100, v FROM hidden',
    "UPDATE hidden SET v = 'x' WHERE k = 1",
    "UPDATE hidden SET v = 'x'",
    'DELETE FROM hidden',
    'TRUNCATE hidden',
    'COPY hidden TO STDOUT',
    'COPY (SELECT v FROM hidden) TO STDOUT',
    'EXPLAIN SELECT * FROM hidden',
    'CREATE TABLE stolen AS SELECT * FROM hidden',
    'ALTER TABLE hidden ADD c int',
    'DROP TABLE hidden',
    'CREATE INDEX ON hidden (v)',
    'GRANT ALL ON hidden TO alice',
  ])
    await refused(t, alice, sql)
  t.strictSame(await rows(root, 'SELECT count(*)::int, max(v) FROM hidden'), [[8, 'v8']])
  await root.query('GRANT SELECT ON hidden TO alice')
  t.strictSame(await rows(alice, 'SELECT count(*)::int FROM hidden'), [[8]], 'a grant opens it')
  t.strictSame(await rows(alice, 'SELECT v FROM hidden WHERE k = 3'), [['v3']])
  await root.query('REVOKE SELECT ON hidden FROM alice')
  await refused(t, alice, 'SELECT v FROM hidden WHERE k = 3')
  await refused(t, alice, 'SELECT count(*) FROM hidden')
})

t.test('a grant of columns opens these columns', async (t) => {
  t.strictSame(await rows(alice, 'SELECT a FROM partly WHERE k = 2'), [['a2']])
  t.strictSame(await rows(alice, 'SELECT max(a), count(*)::int FROM partly'), [['a8', 8]], 'gathered')
  await alice.query("UPDATE partly SET a = 'new' WHERE k = 2")
  for (const sql of [
    'SELECT b FROM partly WHERE k = 2',
    'SELECT * FROM partly',
    'SELECT max(b) FROM partly',
    "SELECT count(*) FROM partly WHERE b = 'b1'",
    "UPDATE partly SET b = 'x' WHERE k = 2",
    'DELETE FROM partly WHERE k = 2',
  ])
    await refused(t, alice, sql)
})

t.test('policies of row security hold on segments and for gathered rows', async (t) => {
  t.strictSame(await rows(alice, 'SELECT count(*)::int, min(owner), max(owner) FROM shared'), [
    [4, 'alice', 'alice'],
  ])
  t.strictSame(await rows(alice, 'SELECT * FROM shared WHERE k = 1'), [])
  t.equal((await alice.query("UPDATE shared SET owner = 'alice' WHERE k = 1")).rowCount, 0)
  t.equal((await alice.query('DELETE FROM shared WHERE k = 1')).rowCount, 0)
  await refused(t, alice, "INSERT INTO shared VALUES (101, 'bob')")
  await refused(t, alice, 'ALTER TABLE shared DISABLE ROW LEVEL SECURITY')
  await alice.query('SET row_security = off')
  await refused(t, alice, 'SELECT * FROM shared')
  await alice.query('RESET row_security')
})

t.test('roles: what is a member of whom', async (t) => {
  t.equal(await code(alice.query('SET ROLE staff')), 'none')
  t.strictSame(await whoAmI(alice), [['staff', 'alice']])
  await alice.query("INSERT INTO staffed VALUES (1, 'x'), (2, 'y'), (3, 'z')")
  t.strictSame(await rows(alice, 'SELECT count(*)::int FROM staffed'), [[3]])
  await refused(t, alice, 'SELECT * FROM shared')
  await alice.query('RESET ROLE')
  t.strictSame(await whoAmI(alice), [['alice', 'alice']])
  for (const sql of ['SET ROLE postgres', 'SET ROLE bob', "SELECT set_config('role', 'bob', false)"])
    await refused(t, alice, sql)
  await refused(t, alice, 'SET ROLE nobody', '22023')
  for (const sql of [
    'SET SESSION AUTHORIZATION postgres',
    'SET SESSION AUTHORIZATION bob',
    "SELECT set_config('session_authorization', 'postgres', false)",
    'CREATE ROLE mallory SUPERUSER',
    'ALTER ROLE alice SUPERUSER',
    'ALTER ROLE bob PASSWORD $$x$$',
    'GRANT postgres TO alice',
    'DROP ROLE bob',
  ])
    await refused(t, alice, sql)
  t.strictSame(await whoAmI(alice), [['alice', 'alice']])
  await root.query('SET ROLE alice')
  await refused(t, root, 'SELECT * FROM hidden')
  await root.query('RESET ROLE')
  await root.query('SET SESSION AUTHORIZATION alice')
  t.strictSame(await whoAmI(root), [['alice', 'alice']])
  await refused(t, root, 'SELECT v FROM hidden WHERE k = 1')
  await root.query('SET SESSION AUTHORIZATION postgres')
  t.strictSame(await whoAmI(root), [['postgres', 'postgres']])
})

t.test('no function makes its caller somebody else', async (t) => {
  // Written so that the planner lets them pass: what they do is hidden from whoever reads the text.
  for (const [name, body] of [
    ['by_setting', "PERFORM set_config('session_authorization', 'postgres', false);"],
    ['by_local_setting', "PERFORM set_config('session_authorization', 'postgres', true);"],
    ['by_role', "PERFORM set_config('role', 'postgres', false);"],
    ['by_part', "PERFORM set_config('session_' || 'authorization', 'post' || 'gres', false);"],
    [
      'after_error',
      "BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN PERFORM set_config('session_authorization', 'postgres', false); END;",
    ],
  ] as const) {
    await alice.query(
      `CREATE FUNCTION ${name}() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN ${body} RETURN (SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'); END $f$`,
    )
    for (const sql of [`SELECT ${name}()`, `SELECT ${name}() FROM pg_class LIMIT 1`])
      await refused(t, alice, sql)
    await alice.query('BEGIN')
    t.equal(await code(alice.query(`SELECT ${name}()`)), '42501', `${name} in a transaction`)
    await alice.query('ROLLBACK')
    t.strictSame(await whoAmI(alice), [['alice', 'alice']])
  }
  await alice.query(
    "CREATE FUNCTION definer() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $f$ BEGIN PERFORM set_config('role', 'postgres', false); RETURN 'x'; END $f$",
  )
  await refused(t, alice, 'SELECT definer()')
  await alice.query(
    "CREATE PROCEDURE in_pieces() LANGUAGE plpgsql AS $f$ BEGIN ROLLBACK; PERFORM set_config('session_authorization', 'postgres', false); END $f$",
  )
  await refused(t, alice, 'CALL in_pieces()')
  await alice
    .query(
      "CREATE FUNCTION as_role() RETURNS name LANGUAGE sql SET role = 'postgres' AS 'SELECT current_user'",
    )
    .catch(() => undefined)
  t.not(await code(alice.query('SELECT as_role()')), 'none')
  t.strictSame(await whoAmI(alice), [['alice', 'alice']])
  await refused(t, alice, 'SELECT rolpassword FROM pg_authid')
})

t.test(
  'a function of a superuser with SECURITY DEFINER lends its rights, and only for its own length',
  async (t) => {
    await root.query(
      "CREATE FUNCTION has_password(who text) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS 'SELECT rolpassword IS NOT NULL FROM pg_authid WHERE rolname = who'",
    )
    t.strictSame(await rows(alice, "SELECT has_password('alice')"), [[true]])
    await refused(t, alice, 'SELECT rolpassword FROM pg_authid')
  },
)

t.test('transactions over several segments end as the cluster, and go on as the user', async (t) => {
  await alice.query('SET ROLE staff')
  await alice.query('BEGIN')
  await alice.query("INSERT INTO staffed SELECT i, 'two-phase' FROM generate_series(10, 30) i")
  await alice.query('COMMIT')
  t.strictSame(await whoAmI(alice), [['staff', 'alice']])
  t.strictSame(await rows(alice, "SELECT count(*)::int FROM staffed WHERE v = 'two-phase'"), [[21]])
  await refused(t, alice, 'SELECT v FROM hidden WHERE k = 1')
  await refused(t, alice, 'SELECT * FROM pg_catalog.dtx_committed')
  await alice.query('RESET ROLE')
})

t.test('files, programs, catalogs and the administration are closed', async (t) => {
  for (const sql of [
    'SELECT rolname, rolpassword FROM pg_authid',
    'SELECT * FROM pg_shadow',
    'COPY pg_authid TO STDOUT',
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('postgresql.conf')",
    "SELECT pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/x')",
    "UPDATE gp_segment_configuration SET role = 'm'",
    'DELETE FROM gp_configuration_history',
    'INSERT INTO gp_distribution_policy VALUES (1, $$p$$, 2, NULL)',
    'UPDATE mirabelle_setting SET value = $$on$$',
    'DELETE FROM pg_catalog.dtx_committed',
    'UPDATE pg_authid SET rolsuper = true',
    'ALTER SYSTEM SET gp_fts_probe_interval = 7',
    'ALTER SYSTEM RESET ALL',
    'CHECKPOINT',
    'CREATE FUNCTION c() RETURNS int LANGUAGE c AS $$x$$',
    'SET session_replication_role = replica',
    'SET zero_damaged_pages = on',
    "SELECT set_config('log_statement', 'all', false)",
    'CREATE TABLE pg_catalog.mine (a int)',
    'SHOW data_directory',
    "SELECT current_setting('data_directory')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
  ])
    await refused(t, alice, sql)
  for (const sql of [
    "COPY shared FROM '/etc/passwd'",
    "COPY shared TO '/tmp/x'",
    "COPY shared FROM PROGRAM 'id'",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    'SELECT pg_promote()',
    'SELECT pg_switch_wal()',
    "SELECT pg_create_physical_replication_slot('x')",
  ])
    await refused(t, alice, sql, '0A000')
  await refused(t, root, "COPY shared FROM PROGRAM 'id'", '0A000')
  const [[pid] = []] = (await rows(root, 'SELECT pg_backend_pid()')) as number[][]
  for (const how of ['cancel', 'terminate']) await refused(t, alice, `SELECT pg_${how}_backend(${pid})`)
})

t.test('startup parameters do no more than SET, as the user that logs in', async (t) => {
  for (const [options, expected] of [
    ['-c session_replication_role=replica', '42501'],
    ['-c zero_damaged_pages=on', '42501'],
    ['--log_statement=all', '42501'],
    ['-c role=postgres', '42501'],
    ['-c role=nobody', '22023'],
    ['-c session_authorization=postgres', '55P02'],
    ['-c is_superuser=on', '55P02'],
    ['-c synchronous_commit=off', '0A000'],
    ['-c no_such_setting=1', '42704'],
    ['-c work_mem=many', '22023'],
  ] as const)
    t.equal(await code(cluster.client({ user: 'alice', options })), expected, options)
  const staff = await cluster.client({ user: 'alice', options: '-c role=staff -c work_mem=8MB' })
  t.strictSame(await rows(staff, "SELECT current_user, current_setting('work_mem')"), [['staff', '8MB']])
  const superuser = await cluster.client({ options: '-c session_replication_role=replica' })
  t.strictSame(await rows(superuser, "SELECT current_setting('session_replication_role')"), [['replica']])
  t.strictSame(await rows(alice, "SELECT current_setting('session_replication_role')"), [['origin']])
  await root.query('ALTER ROLE bob SET session_replication_role = replica')
  const bob = await cluster.client({ user: 'bob' })
  t.strictSame(
    await rows(bob, "SELECT current_setting('session_replication_role')"),
    [['replica']],
    'a superuser gave it',
  )
  await root.query("ALTER ROLE ALL SET work_mem = '7MB'; ALTER ROLE ALL SET DateStyle = 'German'")
  await root.query("ALTER ROLE bob SET work_mem = '4MB'")
  const seen = "SELECT current_setting('work_mem'), date '2026-11-30'::text"
  t.strictSame(await rows(await cluster.client({ user: 'alice' }), seen), [['7MB', '30.11.2026']], 'for all')
  t.strictSame(await rows(await cluster.client({ user: 'bob' }), seen), [['4MB', '30.11.2026']], 'but one')
  await root.query('ALTER ROLE ALL RESET ALL; ALTER ROLE bob RESET work_mem')
  t.strictSame(await rows(await cluster.client({ user: 'bob' }), seen), [['4MB', '2026-11-30']])
  await root.query('CREATE ROLE gone')
  await root.query('GRANT gone TO bob')
  await root.query('ALTER ROLE bob SET role = gone')
  await root.query('DROP ROLE gone')
  const again = await cluster.client({ user: 'bob' })
  t.strictSame(
    await rows(again, "SELECT current_user, current_setting('session_replication_role')"),
    [['bob', 'replica']],
    'what cannot be had any more does not lock a role out',
  )
})

t.test('rows that the coordinator evaluates for its segments stay in no file of its own', async (t) => {
  await root.query('CREATE TABLE filled (id serial, k int PRIMARY KEY, v text) DISTRIBUTED BY (k)')
  await root.query('GRANT INSERT, SELECT ON filled TO alice')
  await root.query('GRANT USAGE ON filled_id_seq TO alice')
  const size = async (): Promise<unknown> =>
    // Over pg_class it is the coordinator's own files that are told.
    (
      await rows(
        root,
        "SELECT sum(pg_relation_size(oid))::int FROM pg_class WHERE relname IN ('filled', 'filled_pkey')",
      )
    )[0]
  const empty = await size()
  const insert = (from: number): string =>
    `INSERT INTO filled (k, v) SELECT i, repeat('x', 100) FROM generate_series(${from}, ${from + 4999}) i`
  await root.query(insert(0))
  t.strictSame(await size(), empty)
  await root.query(`INSERT INTO filled (k, v) SELECT k + 5000, v FROM filled`)
  t.strictSame(await size(), empty, 'gathered')
  await root.query('BEGIN')
  await root.query("INSERT INTO filled (k, v) VALUES (100000, 'in the same transaction')")
  const small = await size()
  await root.query(insert(10_000))
  await root.query('COMMIT')
  t.strictSame(await size(), small, 'in a transaction')
  await alice.query(insert(20_000))
  t.strictSame(await rows(root, 'SELECT count(*)::int, count(DISTINCT id)::int FROM filled'), [
    [20_001, 20_001],
  ])
})

t.test('nothing of one session is seen by another', async (t) => {
  await root.query("SET my.secret = 'of root'")
  await root.query('SELECT 1')
  await root.query({
    name: 'mine',
    text: "SELECT 'a literal of root', $1::text FROM pg_class LIMIT 1",
    values: ['x'],
  })
  await root.query("PREPARE theirs AS SELECT 'another literal'")
  await root.query('BEGIN')
  await root.query("DECLARE c CURSOR WITH HOLD FOR SELECT 'under the cursor'")
  await root.query('COMMIT')
  t.strictSame(await rows(alice, "SELECT coalesce(current_setting('my.secret', true), '')"), [['']])
  t.strictSame(
    await rows(alice, "SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%literal%'"),
    [],
  )
  t.strictSame(await rows(alice, 'SELECT statement FROM pg_cursors'), [])
  t.strictSame(await rows(alice, "SELECT DISTINCT query FROM pg_stat_activity WHERE usename = 'postgres'"), [
    ['<insufficient privilege>'],
  ])
  t.equal(await code(alice.query('EXECUTE theirs')), '26000')
  t.equal(await code(alice.query('FETCH c')), '34000')
  t.equal(await code(alice.query('SELECT lastval()')), '0A000')
  await root.query('CLOSE c')
})

t.test('nobody ends PostgreSQL, or the parser, with a statement that is nested too deeply', async (t) => {
  // Much more of this is in sql-limits.long.test.ts.
  const nested = (n: number): string => `SELECT ${'(SELECT '.repeat(n)}1${')'.repeat(n)}`
  const calls = (n: number): string => `SELECT ${'abs('.repeat(n)}k${')'.repeat(n)} FROM shared WHERE k = 2`
  for (const [sql, expected] of [
    [nested(300), 'none'],
    [nested(700), 'none|54001'],
    [nested(50_000), '54001'],
    [calls(700), 'none'],
    [calls(50_000), '54001'],
  ] as const)
    t.match(
      await code(alice.query(sql)),
      new RegExp(`^(${expected})$`),
      `${sql.slice(0, 30)}… of ${sql.length} characters`,
    )
  t.strictSame(await rows(root, 'SELECT count(*)::int FROM hidden'), [[8]])
})
