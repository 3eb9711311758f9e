/** What comes between a session and its answer: role changes, failovers, cancel requests, timeouts, limits, schema changes of others. */
import t from 'tap'
import type pg from 'pg'
import { startLocalCluster, type LocalCluster } from './support/local-cluster.ts'

let cluster: LocalCluster
let a: pg.Client
let b: pg.Client

t.before(async () => {
  cluster = await startLocalCluster()
  a = await cluster.client()
  b = await cluster.client()
  await a.query('CREATE TABLE i (id int PRIMARY KEY, v text)')
  await a.query("INSERT INTO i SELECT g, 'v' FROM generate_series(1, 1000) g")
})
t.teardown(() => cluster.stop())

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: { code: string }) => error.code,
  )
const urgent = (sql: string) =>
  cluster.dispatcher.runUrgent(sql, (holder) => cluster.frontend.preemptLocal(holder))
/** Resolves once the statement of this client has left the queue or waits in it. */
const underWay = () => new Promise((resolve) => setTimeout(resolve, 60))

t.test('an idle transaction that holds the coordinator makes way for a role change', async (t) => {
  await a.query('BEGIN')
  await a.query('CREATE TABLE way (id int PRIMARY KEY)')
  await urgent('SELECT 1')
  t.equal(await code(a.query('INSERT INTO way VALUES (1)')), '40001')
  t.equal(await code(a.query('SELECT 1')), '25P02')
  t.equal((await a.query('COMMIT')).command, 'ROLLBACK')
  await a.query('BEGIN')
  await a.query('CREATE TABLE way (id int PRIMARY KEY)')
  await urgent('SELECT 1')
  t.equal(await code(a.query('COMMIT')), '40001')
  t.equal(await code(a.query('SELECT 1')), 'none')
  t.equal(await code(b.query('SELECT * FROM way')), '42P01', 'nothing of it is left')
})

t.test('a transaction with a savepoint does not outlive its statement that made way', async (t) => {
  await a.query('BEGIN')
  await a.query('CREATE TABLE way (id int PRIMARY KEY)')
  await a.query('SAVEPOINT s')
  const open = cluster.closeGate(-1)
  const last = code(a.query('SELECT 1'))
  await underWay()
  const change = urgent('SELECT 1')
  open()
  await change
  t.equal(await last, '40001')
  t.equal(await code(a.query('ROLLBACK TO s')), '40001', 'there is nothing to go on with')
  await a.query('ROLLBACK')
  t.equal(await code(b.query('SELECT * FROM way')), '42P01', 'nothing of it is left')
})

t.test(
  'a schema change that lost a segment begins anew: its table is a new one, IF NOT EXISTS or not',
  async (t) => {
    const open = cluster.closeGate(0)
    const change = code(a.query('CREATE TABLE IF NOT EXISTS anew (id int PRIMARY KEY)'))
    await underWay()
    await cluster.lose(0)
    open()
    t.equal(await change, 'none')
    const policy = "SELECT policytype, distkey FROM gp_distribution_policy WHERE localoid = 'anew'::regclass"
    t.same((await b.query(policy)).rows, [{ policytype: 'p', distkey: [1] }])
  },
)

t.test(
  'a role change that comes when the coordinator has done its part of a write stops nothing',
  async (t) => {
    const writes = [
      "INSERT INTO i SELECT g, 'done' FROM generate_series(2001, 2020) g",
      "INSERT INTO i SELECT id + 2100, 'done' FROM i ORDER BY id LIMIT 20",
    ]
    for (const sql of writes) {
      const open = cluster.closeGate(-1)
      const write = code(a.query(sql))
      await underWay()
      const change = urgent('SELECT 1')
      await underWay()
      open()
      await change
      t.equal(await write, 'none', sql)
    }
    t.strictSame((await b.query("SELECT count(*)::int AS n FROM i WHERE v = 'done'")).rows, [{ n: 40 }])
    await a.query("DELETE FROM i WHERE v = 'done'")
  },
)

t.test('a running read of the coordinator makes way and runs again by itself', async (t) => {
  const slow = a.query('SELECT count(*)::int AS n FROM generate_series(1, 4000000)')
  await underWay()
  await urgent('SELECT 1')
  t.strictSame((await slow).rows, [{ n: 4000000 }])
})

t.test('a gathered read makes way and runs again by itself', async (t) => {
  const slow = a.query(
    'SELECT count(*)::int AS n FROM i a, generate_series(1, 6000) g WHERE a.id > 0 AND a.v = $1',
    ['v'],
  )
  await underWay()
  await urgent('SELECT 1')
  t.strictSame((await slow).rows, [{ n: 6_000_000 }])
})

t.test(
  'who has the coordinator and waits for a segment makes way for a role change, then goes on',
  async (t) => {
    const waiters: readonly (readonly [what: string, send: () => Promise<unknown>, undo: string])[] = [
      ['a gathered read', () => a.query('SELECT count(DISTINCT v) FROM i'), 'SELECT 1'],
      [
        'a change of the schema',
        () => a.query('CREATE TABLE waits (id int PRIMARY KEY)'),
        'DROP TABLE waits',
      ],
    ]
    for (const [what, send, undo] of waiters) {
      await b.query('BEGIN')
      await b.query("UPDATE i SET v = 'held' WHERE id <= 10")
      let ended = false
      const waiting = send().finally(() => (ended = true))
      await underWay()
      // Twice: the second one finds it in the queue again.
      await urgent('SELECT 1')
      await urgent('SELECT 1')
      t.notOk(ended, `${what} still waits`)
      await b.query('ROLLBACK')
      await t.resolves(waiting, what)
      await a.query(undo)
    }
  },
)

t.test(
  'a transaction that asks the coordinator something in passing is in no deadlock with a gathered read',
  async (t) => {
    await b.query('BEGIN')
    await b.query("UPDATE i SET v = 'held' WHERE id = 1")
    // It has the coordinator and waits for the segment of row 1.
    const gathered = a.query('SELECT count(DISTINCT v) FROM i')
    await underWay()
    // The coordinator has to describe this text, which nobody has sent before.
    const { rows } = await b.query('SELECT v FROM i WHERE id = $1 AND v <> $2', [1, 'never'])
    t.same(rows, [{ v: 'held' }])
    await b.query('ROLLBACK')
    await t.resolves(gathered)
  },
)

t.test(
  'a gathered read whose answers a segment holds back makes way, and runs again by itself',
  async (t) => {
    const open = cluster.closeGate(0)
    let ended = false
    const waiting = a.query('SELECT count(*)::int AS n, count(DISTINCT id)::int AS d FROM i')
    waiting.then(
      () => (ended = true),
      () => (ended = true),
    )
    await underWay()
    // As when the role change is what opens the gate: it says that the mirror is down.
    await urgent('SELECT 1')
    t.notOk(ended)
    open()
    const [row] = (await waiting).rows as { n: number; d: number }[]
    t.equal(row?.n, row?.d, 'nothing of the first attempt is in the answer')
    t.equal(row?.n, 1_000)
  },
)

t.test('a gathered read that a segment holds up does not hold the coordinator for others', async (t) => {
  const open = cluster.closeGate(0)
  let ended = false
  const waiting = a.query('SELECT count(DISTINCT id)::int AS d FROM i').finally(() => (ended = true))
  await underWay()
  const { rows } = await b.query("SELECT count(*)::int AS n FROM pg_class WHERE relname = 'i'")
  t.strictSame(rows, [{ n: 1 }])
  t.notOk(ended)
  open()
  t.strictSame((await waiting).rows, [{ d: 1_000 }])
})

t.test(
  'a transaction that gathers while the standby hangs does not hold its segments for others',
  async (t) => {
    await a.query('BEGIN')
    await a.query("UPDATE i SET v = 'w'")
    const open = cluster.closeGate(-1)
    const gathered = code(a.query('SELECT count(DISTINCT v) FROM i'))
    await underWay()
    await b.query("UPDATE i SET v = 'v' WHERE id = 1")
    t.equal(await gathered, '40001', 'the client is told at once')
    open()
    await a.query('ROLLBACK')
    t.strictSame((await b.query('SELECT DISTINCT v FROM i')).rows, [{ v: 'v' }])
  },
)

t.test('lock_timeout counts the whole wait, role changes included', async (t) => {
  await a.query("SET lock_timeout = '300ms'")
  await b.query('BEGIN')
  await b.query("UPDATE i SET v = 'held' WHERE id <= 10")
  const waiting = code(a.query('SELECT count(DISTINCT v) FROM i'))
  await underWay()
  await urgent('SELECT 1')
  t.equal(await waiting, '55P03')
  await b.query('ROLLBACK')
  await a.query('RESET lock_timeout')
})

t.test('a statement of the coordinator that no interrupt reaches ends as 57014 too', async (t) => {
  await a.query("SET statement_timeout = '100ms'")
  t.equal(
    await code(a.query('SELECT count(*) FROM generate_series(1, 20000) g, generate_series(1, 20000) h')),
    '57014',
  )
  await a.query('RESET statement_timeout')
  t.equal(await code(a.query('SELECT 1')), 'none')
})

t.test('a segment that fails over ends the transactions that touched it, no others', async (t) => {
  await a.query('BEGIN')
  await a.query("UPDATE i SET v = 'lost'")
  await cluster.lose(0)
  t.equal(await code(a.query('SELECT * FROM i WHERE id = 1')), '40001')
  t.equal(await code(a.query('SELECT 1')), '25P02')
  await a.query('ROLLBACK')
  t.strictSame((await b.query("SELECT count(*)::int AS n FROM i WHERE v = 'lost'")).rows, [{ n: 0 }])
  await a.query('BEGIN')
  await a.query('SELECT 1')
  await cluster.lose(1)
  t.equal(await code(a.query('SELECT count(*) FROM i')), 'none', 'it had touched nothing yet')
  await a.query('COMMIT')
})

t.test('COMMIT of a transaction that lost a segment says 40001', async (t) => {
  await a.query('BEGIN')
  await a.query("UPDATE i SET v = 'lost'")
  await cluster.lose(1)
  t.equal(await code(a.query('COMMIT')), '40001')
  t.strictSame((await a.query("SELECT count(*)::int AS n FROM i WHERE v = 'lost'")).rows, [{ n: 0 }])
})

t.test('a cancel request ends a statement that runs, and one that waits', async (t) => {
  const pid = (client: pg.Client) => (client as unknown as { processID: number }).processID
  const running = code(a.query('SELECT count(*) FROM generate_series(1, 200000000)'))
  await underWay()
  t.ok(cluster.door.cancel(pid(a)))
  t.equal(await running, '57014')
  await b.query('BEGIN')
  await b.query("UPDATE i SET v = 'held' WHERE id <= 10")
  const waiting = code(a.query('SELECT count(*) FROM i'))
  await underWay()
  t.ok(cluster.door.cancel(pid(a)))
  t.equal(await waiting, '57014')
  await b.query('ROLLBACK')
  t.equal(await code(a.query('SELECT count(*) FROM i')), 'none')
})

t.test('a session that idles in a transaction is ended, and its lanes are free', async (t) => {
  const idle = await cluster.client()
  await idle.query("SET idle_in_transaction_session_timeout = '100ms'")
  await idle.query('BEGIN')
  await idle.query("UPDATE i SET v = 'idle'")
  const ended = new Promise<string>((resolve) =>
    idle.on('error', (error) => resolve((error as { code?: string }).code ?? '')),
  )
  t.strictSame((await a.query("SELECT count(*)::int AS n FROM i WHERE v = 'idle'")).rows, [{ n: 0 }])
  t.equal(await ended, '25P03')
})

t.test('gather_limit names the table that was too big', async (t) => {
  await b.query("SET gather_limit = '1MB'")
  await b
    .query("INSERT INTO i SELECT g, repeat('x', 10000) FROM generate_series(5000, 5300) g")
    .catch(() => undefined)
  await a.query("INSERT INTO i SELECT g, repeat('x', 10000) FROM generate_series(6000, 6300) g")
  const error = (await b.query('SELECT count(DISTINCT v) FROM i').catch((one: unknown) => one)) as {
    code: string
    detail: string
  }
  t.equal(error.code, '53400')
  t.match(error.detail, 'public.i')
  t.equal(await code(a.query('SELECT count(DISTINCT v) FROM i')), 'none')
})

t.test('statements of others wait while the schema changes, and see the new one', async (t) => {
  await a.query('BEGIN')
  await a.query('CREATE TABLE soon (id int PRIMARY KEY)')
  const waiting = b.query('SELECT count(*)::int AS n FROM soon')
  await a.query('INSERT INTO soon VALUES (1), (2), (3)')
  await a.query('COMMIT')
  t.strictSame((await waiting).rows, [{ n: 3 }])
})

t.test('many sessions change and read the schema at once without harm', async (t) => {
  const clients = await Promise.all(Array.from({ length: 6 }, () => cluster.client()))
  await Promise.all(
    clients.map(async (client, n) => {
      for (let round = 0; round < 3; round++) {
        const name = `many_${n}_${round}`
        await client.query(`CREATE TABLE ${name} (id int PRIMARY KEY, v text)`)
        await client.query(`INSERT INTO ${name} SELECT g, 'x' FROM generate_series(1, 20) g`)
        const { rows } = await client.query(`SELECT count(*)::int AS n FROM ${name}`)
        t.strictSame(rows, [{ n: 20 }])
        await client.query(`DROP TABLE ${name}`)
      }
    }),
  )
  t.strictSame(
    (
      await a.query(
        'SELECT count(*)::int AS n FROM gp_distribution_policy p LEFT JOIN pg_class c ON c.oid = localoid WHERE c.oid IS NULL',
      )
    ).rows,
    [{ n: 0 }],
  )
})

t.test(
  'a login does not wait for who holds the coordinator, and sees roles as they are committed',
  async (t) => {
    const past = new Date(Date.now() - 60_000).toISOString()
    for (const sql of [
      'CREATE ROLE caller LOGIN',
      "ALTER ROLE caller SET work_mem = '8MB'",
      'CREATE ROLE barred NOLOGIN',
      `CREATE ROLE former LOGIN VALID UNTIL '${past}'`,
      "CREATE ROLE lasting LOGIN VALID UNTIL 'infinity'",
    ])
      await a.query(sql)
    const options = { user: 'caller', options: '-c TimeZone=UTC' }
    await cluster.client(options)
    await a.query('BEGIN')
    for (const sql of ['CREATE ROLE coming LOGIN', 'ALTER ROLE barred LOGIN', 'ALTER ROLE lasting NOLOGIN'])
      await a.query(sql)
    const caller = await cluster.client(options)
    await cluster.client({ user: 'lasting' })
    for (const user of ['coming', 'barred', 'former', 'nobody'])
      t.equal(await code(cluster.client({ user })), '28000', user)
    await a.query('COMMIT')
    const { rows } = await caller.query("SELECT current_user, current_setting('work_mem') AS work_mem")
    t.strictSame(rows, [{ current_user: 'caller', work_mem: '8MB' }])
    await cluster.client({ user: 'coming' })
    await cluster.client({ user: 'barred' })
    t.equal(await code(cluster.client({ user: 'lasting' })), '28000')
  },
)
