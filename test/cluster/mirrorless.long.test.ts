// A cluster without mirrors: with mirrorless_policy = refuse what needs the dead segment is refused and the rest goes on; with shutdown, the
// default, the whole cluster ends. `start` brings it back both times, with every row.
import t from 'tap'
import { TestCluster, waitFor } from '@mirabelle/testkit/cluster'

t.setTimeout(600_000)

const cluster = await TestCluster.start({ segments: 2, mirroring: 'none', standby: false })
t.teardown(() => cluster.close())

/** A key whose row is on the content. */
async function keyOn(content: number): Promise<number> {
  for (let key = 1; key <= 100; key++) {
    const plan = await cluster.query<{ 'QUERY PLAN': string }>(`EXPLAIN SELECT k FROM kept WHERE k = ${key}`)
    if (plan.some((line) => line['QUERY PLAN'].includes(`Segment ${content}:`))) return key
  }
  throw new Error(`no key of 1 to 100 is on content ${content}`)
}
const count = () => cluster.query('SELECT count(*)::int AS rows FROM kept')
const history = async () =>
  (
    await cluster.query<{ description: string }>(
      'SELECT description FROM gp_configuration_history ORDER BY time',
    )
  ).map(({ description }) => description)

await cluster.query('CREATE TABLE kept (k int PRIMARY KEY) DISTRIBUTED BY (k)')
await cluster.query('INSERT INTO kept SELECT generate_series(1, 100)')

await t.test('refuse: only what needs the dead segment is refused, by the name of its content', async (t) => {
  await cluster.query("ALTER SYSTEM SET mirrorless_policy = 'refuse'")
  const [dead, alive] = [await keyOn(0), await keyOn(1)]
  const { dbid } = await cluster.primaryOf(0)
  await cluster.cluster.kill(dbid)
  await waitFor('the loss in the history', async () =>
    (await history()).includes(`FTS: content id 0 dbid ${dbid} is down`),
  )
  await t.rejects(count(), { code: '57P01', message: /content 0 is unavailable/ })
  await t.rejects(cluster.query(`DELETE FROM kept WHERE k = ${dead}`), { code: '57P01' })
  t.same(await cluster.query(`SELECT k FROM kept WHERE k = ${alive}`), [{ k: alive }])
  const { problems } = (await cluster.cluster.state()).cluster
  t.match(problems[0], new RegExp(`dbid ${dbid} .* does not answer.*: run "mirabelle start"`))
  await cluster.cluster.start()
  t.same(await waitFor('the content to serve again', count), [{ rows: 100 }])
  t.equal((await history()).at(-1), `FTS: content id 0 dbid ${dbid} is now up`)
})

await t.test('shutdown: the cluster ends when a segment dies, and start brings all of it back', async (t) => {
  await cluster.query('ALTER SYSTEM RESET mirrorless_policy')
  const { dbid } = await cluster.primaryOf(1)
  await cluster.cluster.kill(dbid)
  await waitFor('no instance that runs', async () => (await cluster.pids()).size === 0, 60_000)
  await t.rejects(cluster.connect(200), /in vain/, 'nobody is let in')
  await cluster.cluster.start()
  t.same(await waitFor('the contents to serve again', count), [{ rows: 100 }])
  t.equal((await cluster.pids()).size, 3)
})
