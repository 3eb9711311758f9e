/** The main ways of SQL end to end: real engines, the real front door, node-postgres. */
import t from 'tap'
import { startLocalCluster } from './support/local-cluster.ts'

t.test('tables are made, filled and read, by key and as a whole', async (t) => {
  const cluster = await startLocalCluster()
  t.teardown(() => cluster.stop())
  const client = await cluster.client()
  await client.query('CREATE TABLE t (id int PRIMARY KEY, v text) DISTRIBUTED BY (id)')
  for (let id = 1; id <= 20; id++) await client.query(`INSERT INTO t VALUES (${id}, 'v${id}')`)
  const one = await client.query('SELECT * FROM t WHERE id = 7')
  t.strictSame(one.rows, [{ id: 7, v: 'v7' }])
  const all = await client.query('SELECT id FROM t')
  t.equal(all.rowCount, 20)
  const sum = await client.query('SELECT count(*)::int AS n, sum(id)::int AS s FROM t')
  t.strictSame(sum.rows, [{ n: 20, s: 210 }])
})
