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

  const rows = async (text: string, values: unknown[] = []): Promise<unknown[]> =>
    (await client.query({ text, values, rowMode: 'array' })).rows
  const bySegment = (await rows('SELECT gp_segment_id, count(*)::int FROM t GROUP BY 1 ORDER BY 1')) as [
    number,
    number,
  ][]
  t.same(
    bySegment.map(([segment]) => segment),
    [0, 1],
    'rows know their segment',
  )
  t.equal(
    bySegment.reduce((count, [, more]) => count + more, 0),
    20,
  )
  const stayed = await rows('SELECT gp_segment_id, id, v FROM t')
  const gathered = await rows('SELECT gp_segment_id, * FROM t ORDER BY id')
  t.same(new Set(gathered), new Set(stayed), 'the same where rows stay and where they are gathered')
  t.same(
    await rows('SELECT gp_segment_id, id, v FROM t WHERE id = $1', [7]),
    gathered.slice(6, 7),
    'and where the key says where to ask',
  )
  t.same(await rows('SELECT gp_execution_segment()'), [[-1]])
  t.same(
    await rows("SELECT gp_segment_id, pg_is_in_recovery() FROM gp_dist_random('gp_id') ORDER BY 1 DESC"),
    [
      [1, false],
      [0, false],
    ],
    'a function on every segment',
  )
  t.same(
    await rows("SELECT count(*)::int FROM gp_dist_random('pg_class') WHERE relname = 't'"),
    [[2]],
    'a system catalog of every segment',
  )
  const sizes = (await rows("SELECT gp_segment_id, pg_relation_size('t') FROM gp_dist_random('gp_id')")) as [
    number,
    string,
  ][]
  const size = sizes.reduce((sum, [, bytes]) => sum + Number(bytes), 0)
  t.equal(size, 2 * 8192)
  t.same(
    await rows(
      "SELECT pg_relation_size('t'), pg_size_pretty(pg_relation_size('public.t'::regclass)) AS pretty",
    ),
    [[String(size), '16 kB']],
    'the size of a table is the sum of its segments',
  )
  t.same(await rows("SELECT pg_relation_size('t_pkey') > 16384 AS more"), [[true]], 'of an index, too')
  const deleted = await client.query('DELETE FROM t WHERE gp_segment_id = 1')
  t.equal(deleted.rowCount, bySegment[1]?.[1])
  t.same(await rows('SELECT DISTINCT gp_segment_id FROM t'), [[0]])
})
