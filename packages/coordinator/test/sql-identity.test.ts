/** Statements of several sessions that are on their way together: each runs as who sent it, and finds the tables that he sees, whatever becomes of those before it. */
import t, { type Test } from 'tap'
import type pg from 'pg'
import { startLocalCluster, type LocalCluster } from './support/local-cluster.ts'

let cluster: LocalCluster

const WHO = 'SELECT current_user AS who FROM kv WHERE k = 1'
/** Says something, and then never ends and hears no interrupt: PostgreSQL has to be started anew. */
const SPIN = 'SELECT spin() FROM kv WHERE k = 1'

t.before(async () => {
  cluster = await startLocalCluster({ contents: 1 })
  const admin = await cluster.client()
  for (const sql of [
    'CREATE ROLE alice LOGIN',
    'CREATE ROLE bob LOGIN',
    'CREATE TABLE kv (k int PRIMARY KEY, v text)',
    'GRANT ALL ON kv TO alice, bob',
    "INSERT INTO kv VALUES (1, 'x')",
    "CREATE FUNCTION spin() RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN LOOP BEGIN RAISE NOTICE '%', repeat('x', 200000); LOOP END LOOP; EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$",
  ])
    await admin.query(sql)
})
t.teardown(() => cluster.stop())

/** A session of each of these users, ready to be asked. */
const sessions = (...users: string[]): Promise<pg.Client[]> =>
  Promise.all(users.map((user) => cluster.client({ user })))

/** Sends a statement; once it is on its way the answer is put into `answers`: who ran it, or the error. */
async function send(answers: Promise<string>[], client: pg.Client | undefined, sql: string): Promise<void> {
  const lane = cluster.dispatcher.lane(0)
  const before = lane.inFlight
  const answer = (client as pg.Client).query<{ who: string }>(sql).then(
    ({ rows }) => rows[0]?.who ?? 'nobody',
    (error: { code: string }) => error.code,
  )
  while (lane.inFlight === before) await new Promise((resolve) => setImmediate(resolve))
  answers.push(answer)
}

/** The same with one that spins, and does. */
async function spin(answers: Promise<string>[], client: pg.Client | undefined): Promise<void> {
  const spins = new Promise((resolve) => client?.once('notice', resolve))
  await send(answers, client, SPIN)
  await spins
}

function cancel(t: Test, client: pg.Client | undefined): void {
  t.ok(cluster.door.cancel((client as unknown as { processID: number }).processID))
}

t.test('one that was cancelled before it ran takes the settings with it that it was to set', async (t) => {
  const [b1, b2, a1, a2] = await sessions('bob', 'bob', 'alice', 'alice')
  const answers: Promise<string>[] = []
  await spin(answers, b1)
  await send(answers, b2, WHO)
  await send(answers, a1, WHO)
  await send(answers, a2, WHO)
  cancel(t, a1)
  cancel(t, b1)
  t.same(await Promise.all(answers), ['57014', 'bob', '57014', 'alice'])
})

t.test('settings that went down with PostgreSQL are set again', async (t) => {
  const [a1, a2, a3] = await sessions('alice', 'alice', 'alice')
  const answers: Promise<string>[] = []
  await spin(answers, a1)
  await send(answers, a2, WHO)
  await send(answers, a3, 'SELECT count(*)::text AS who FROM kv')
  cancel(t, a1)
  t.same(await Promise.all(answers), ['57014', 'alice', '1'])
})

t.test('settings of a transaction that is undone are not those of the next', async (t) => {
  const [a1, a2] = await sessions('alice', 'alice')
  const schema = "SELECT current_setting('search_path') AS who FROM public.kv WHERE k = 1"
  await a2?.query('SET search_path = pg_catalog')
  await a1?.query('BEGIN')
  await a1?.query(schema)
  await a1?.query('SET search_path = pg_catalog')
  await a1?.query(schema)
  const waiting = a2?.query<{ who: string }>(schema)
  while (cluster.dispatcher.lane(0).queue.waiting.length === 0)
    await new Promise((resolve) => setImmediate(resolve))
  await a1?.query('ROLLBACK')
  t.match((await waiting)?.rows, [{ who: 'pg_catalog' }])
})

t.test('a transaction begins where the settings are that it counts on', async (t) => {
  const [b1, b2, a1, a2] = await sessions('bob', 'bob', 'alice', 'alice')
  const answers: Promise<string>[] = []
  await a2?.query('BEGIN')
  await spin(answers, b1)
  await send(answers, b2, WHO)
  await send(answers, a1, WHO)
  await send(answers, a2, WHO)
  cancel(t, a1)
  cancel(t, b1)
  t.same(await Promise.all(answers), ['57014', 'bob', '57014', 'alice'])
  t.equal((await a2?.query('COMMIT'))?.command, 'COMMIT')
})
