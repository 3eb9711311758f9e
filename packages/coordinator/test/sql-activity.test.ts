/** Who is there, what they do and which lanes they hold; and how one of them is cancelled or ended. */
import t from 'tap'
import type pg from 'pg'
import { startLocalCluster, type LocalCluster } from './support/local-cluster.ts'

let cluster: LocalCluster
let admin: pg.Client
let worker: pg.Client
let guest: pg.Client
let workerPid: number

t.before(async () => {
  cluster = await startLocalCluster()
  admin = await cluster.client({ application_name: 'watcher' })
  await admin.query('CREATE TABLE kv (k int PRIMARY KEY, v text)')
  await admin.query("INSERT INTO kv SELECT i, 'x' FROM generate_series(1, 20) i")
  await admin.query('CREATE ROLE guest LOGIN; CREATE ROLE other LOGIN')
  await admin.query('GRANT ALL ON kv TO guest')
  worker = await cluster.client({ user: 'guest', application_name: 'worker' })
  guest = await cluster.client({ user: 'other' })
  workerPid = await pidOf(worker)
})
t.teardown(() => cluster.stop())

async function pidOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ me: number }>('SELECT pg_backend_pid() AS me')
  return rows[0]?.me ?? 0
}
const one = async (client: pg.Client, sql: string): Promise<Record<string, unknown>> =>
  (await client.query<Record<string, unknown>>(sql)).rows[0] ?? {}
const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: { code: string }) => error.code,
  )

t.test('every session has a number of its own', async (t) => {
  const pids = await Promise.all([admin, worker, guest].map(pidOf))
  t.equal(new Set(pids).size, 3)
})

t.test('a session that holds lanes and does nothing is seen, with what it did last', async (t) => {
  await worker.query('BEGIN')
  await worker.query('UPDATE kv SET v = $1 WHERE k = 1', ['mine'])
  const row = await one(
    admin,
    `SELECT * FROM gp_stat_activity WHERE application_name = 'worker' AND xact_start <= query_start AND query_start <= state_change`,
  )
  t.match(row, {
    pid: workerPid,
    usename: 'guest',
    datname: 'postgres',
    state: 'idle in transaction',
    query: 'UPDATE kv SET v = $1 WHERE k = 1',
    client_addr: '127.0.0.1',
    backend_type: 'client backend',
  })
  t.equal((row['lanes'] as number[]).length, 1, 'the content of its row')
  const { rows } = await admin.query('SELECT usename, state, query FROM pg_stat_activity ORDER BY pid')
  t.match(rows, [
    { usename: 'postgres', state: 'active', query: /FROM pg_stat_activity/ },
    { usename: 'guest', state: 'idle in transaction' },
    { usename: 'other', state: 'idle' },
  ])
  await worker.query('ROLLBACK')
  t.match(await one(admin, `SELECT state, lanes FROM gp_stat_activity WHERE usename = 'guest'`), {
    state: 'idle',
    lanes: [],
  })
})

t.test('others see that it is there, not what it says', async (t) => {
  const seen = `SELECT usename, state, query FROM pg_stat_activity WHERE pid = ${workerPid}`
  t.match(await one(guest, seen), { usename: 'guest', state: null, query: '<insufficient privilege>' })
  t.match(await one(worker, seen), { state: 'active', query: seen })
  t.equal(await code(guest.query('SELECT * FROM pg_catalog.mirabelle_activity')), '42501')
  await admin.query('GRANT pg_read_all_stats TO other')
  t.match(await one(guest, seen), { state: 'idle' })
})

t.test('a statement that waits for a lane is cancelled, its session stays', async (t) => {
  await admin.query('BEGIN')
  await admin.query('UPDATE kv SET v = v')
  const waiting = code(worker.query('UPDATE kv SET v = v'))
  const seen = `SELECT state FROM pg_stat_activity WHERE pid = ${workerPid}`
  while ((await one(guest, seen))['state'] !== 'active');
  // A session action needs no lane.
  t.match(await one(admin, `SELECT pg_cancel_backend(${workerPid})`), { pg_cancel_backend: true })
  t.equal(await waiting, '57014')
  await admin.query('ROLLBACK')
  t.equal(await code(worker.query('SELECT 1')), 'none')
})

t.test('who may not is refused, and nobody is harmed', async (t) => {
  const adminPid = await pidOf(admin)
  t.equal(await code(guest.query(`SELECT pg_terminate_backend(${adminPid})`)), '42501')
  t.equal(await code(guest.query(`SELECT pg_cancel_backend(${workerPid})`)), '42501')
  const notices: unknown[] = []
  admin.on('notice', (notice) => notices.push(notice))
  t.match(await one(admin, 'SELECT pg_terminate_backend(2000000000)'), { pg_terminate_backend: false })
  t.match(notices, [{ severity: 'WARNING', message: 'PID 2000000000 is not a PostgreSQL backend process' }])
  t.equal(await code(admin.query('SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity')), '0A000')
  t.equal(await code(admin.query('SELECT pg_backend_pid() FROM kv')), '0A000')
  t.equal(await code(admin.query('SET mirabelle.pid = 1')), '55P02')
  const others = 'SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()'
  t.equal(await code(guest.query(others)), '42501', 'one of them is not theirs')
  t.same((await admin.query(others)).rows, [{ pg_cancel_backend: true }, { pg_cancel_backend: true }])
  t.match(await one(admin, 'SELECT count(*)::int AS me FROM pg_stat_activity WHERE pid = pg_backend_pid()'), {
    me: 1,
  })
})

t.test('a session that is ended gives its lanes back', async (t) => {
  await worker.query('BEGIN')
  await worker.query("UPDATE kv SET v = 'never'")
  const gone = new Promise<{ code?: string }>((resolve) => worker.once('error', resolve))
  t.match(await one(admin, `SELECT pg_terminate_backend(${workerPid}) AS done`), { done: true })
  t.equal((await gone).code, '57P01')
  t.match(await one(admin, "SELECT count(*)::int FROM kv WHERE v = 'never'"), { count: 0 })
  t.match(await one(admin, 'SELECT count(*)::int AS n FROM pg_stat_activity'), { n: 2 })
  const guestGone = new Promise<{ code?: string }>((resolve) => guest.once('error', resolve))
  const others = "SELECT pg_terminate_backend(pid) AS done FROM pg_stat_activity WHERE usename = 'other'"
  t.same((await admin.query(others)).rows, [{ done: true }])
  t.equal((await guestGone).code, '57P01')
  t.same((await admin.query(others)).rows, [])
})
