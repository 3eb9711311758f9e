/** gp_segment_id, gp_execution_segment() and gp_dist_random() become what PostgreSQL understands, or are refused. */
import t from 'tap'
import { Planner, type CatalogView, type GatheredPlan, type Plan } from '../src/index.ts'
import { catalog as fixture, table } from './fixture.ts'

const planner = await Planner.create()
const more = [
  table('gp_id', undefined, 'gpname:name', { schema: 'pg_catalog', kind: 'view' }),
  table('pg_locks', undefined, 'pid:integer', { schema: 'pg_catalog', kind: 'view', columns: [] }),
  table('live', undefined, 'gp_segment_id:integer, state:text', {
    schema: 'pg_catalog',
    live: ['live'],
  }),
]
const catalog: CatalogView = {
  ...fixture,
  lookup: (schema, name) => more.find((one) => one.name === name) ?? fixture.lookup(schema, name),
}
const planned = (sql: string) => planner.planOne(sql, catalog)
const refused = (sql: string): Partial<Extract<Plan, { kind: 'unsupported' }>> => {
  const { plan } = planned(sql)
  return plan.kind === 'unsupported' ? plan : {}
}

t.test('the column is given its table where rows stay', (t) => {
  const cases: readonly [sql: string, sent: string, kind: Plan['kind']][] = [
    ['SELECT gp_segment_id, * FROM t', 'SELECT "t".gp_segment_id, * FROM t', 'pushdown'],
    ['SELECT gp_segment_id FROM t x WHERE k = 1', 'SELECT "x".gp_segment_id FROM t x WHERE k = 1', 'direct'],
    ['DELETE FROM t WHERE gp_segment_id = 0', 'DELETE FROM t WHERE "t".gp_segment_id = 0', 'pushdown'],
    [
      'INSERT INTO t (k) VALUES (1) RETURNING gp_segment_id',
      'INSERT INTO t (k) VALUES (1) RETURNING "t".gp_segment_id',
      'insert',
    ],
    [
      'SELECT gp_segment_id FROM gp_segment_configuration',
      'SELECT "gp_segment_configuration".gp_segment_id FROM gp_segment_configuration',
      'coordinator',
    ],
    [
      'SELECT gp_execution_segment(), k FROM t',
      'SELECT "t".gp_segment_id AS gp_execution_segment, k FROM t',
      'pushdown',
    ],
    [
      'SELECT é.gp_segment_id, gp_segment_id FROM t é',
      'SELECT é.gp_segment_id, "é".gp_segment_id FROM t é',
      'pushdown',
    ],
  ]
  for (const [sql, sent, kind] of cases) {
    const found = planned(sql)
    t.match(found, { sql: sent, rewritten: true, plan: { kind } }, sql)
    t.same(planned(sql), found, 'and nothing of it is remembered by its shape')
  }
  t.match(
    planned('SELECT gp_segment_id FROM live'),
    { sql: 'SELECT gp_segment_id FROM live' },
    'a real column',
  )
  t.notOk(planned('SELECT gp_segment_id FROM live').rewritten)
  t.end()
})

t.test('the copy of rows that are gathered has it as a column, which no star shows', (t) => {
  const gathered = (sql: string): GatheredPlan => {
    const { plan } = planned(sql)
    if (plan.kind !== 'gathered') throw new Error(`${sql}: ${plan.kind}`)
    return plan
  }
  const counts = gathered('SELECT gp_segment_id, count(*) FROM t GROUP BY 1')
  t.match(counts.steps[0]?.copyOutSql, 'pg_catalog.gp_execution_segment() AS gp_segment_id')
  t.match(counts.steps[0]?.createSql, 'pg_catalog.gp_execution_segment() AS gp_segment_id')
  t.match(
    gathered('SELECT gp_segment_id, * FROM t ORDER BY k').sql,
    'SELECT "t".gp_segment_id, "t"."k", "t"."v", "t"."n", "t"."at" FROM pg_temp.',
  )
  t.match(
    gathered('SELECT x.gp_segment_id, u.*, x.* FROM t x, u ORDER BY 1').sql,
    'SELECT x.gp_segment_id, u.*, "x"."k", "x"."v", "x"."n", "x"."at" FROM',
  )
  t.notMatch(
    gathered('SELECT * FROM t ORDER BY k').steps[0]?.copyOutSql,
    'gp_segment_id',
    'only when the statement names it',
  )
  const inner = 'SELECT gp_segment_id, n FROM (SELECT gp_segment_id, count(*) AS n FROM t GROUP BY 1) s'
  t.match(gathered(inner).sql, 'SELECT gp_segment_id, n FROM (SELECT "t".gp_segment_id,')
  t.end()
})

t.test('gp_dist_random reads a relation on all segments, with their functions', (t) => {
  t.match(planned("SELECT gp_segment_id, pg_sleep(0) FROM gp_dist_random('gp_id')"), {
    sql: 'SELECT "gp_dist_random".gp_segment_id, pg_sleep(0) FROM "pg_catalog"."gp_id" AS gp_dist_random',
    plan: { kind: 'pushdown', oneContentOnly: false },
  })
  const locks = planned("SELECT count(*) FROM gp_dist_random('pg_catalog.pg_locks') l").plan as GatheredPlan
  t.equal(locks.steps[0]?.from, 'all')
  t.match(locks.steps[0]?.copyOutSql, 'COPY (SELECT * FROM "pg_catalog"."pg_locks"')
  const sorted = planned(
    "SELECT gp_segment_id, pg_sleep(0) AS s FROM gp_dist_random('gp_id') ORDER BY gp_segment_id LIMIT 1",
  ).plan as GatheredPlan
  t.match(
    sorted.steps[0]?.copyOutSql,
    /^COPY \(SELECT "gp_dist_random".gp_segment_id, pg_sleep\(0\) AS s FROM [^ ]+ AS gp_dist_random\n\) TO/,
  )
  t.match(sorted.sql, /AS "gp_dist_random" ORDER BY "gp_dist_random".gp_segment_id LIMIT 1$/)
  t.match(planned("SELECT count(*) FROM gp_dist_random('t')").plan, { kind: 'gathered' }, 'a table as itself')
  t.end()
})

t.test('what would say something else is refused', (t) => {
  const cases: readonly [sql: string, code: string, message: RegExp][] = [
    ['SELECT gp_segment_id FROM t, u', '42702', /ambiguous/],
    ['SELECT gp_segment_id FROM t, live', '42702', /ambiguous/],
    ['SELECT gp_execution_segment() FROM t JOIN u USING (k)', '0A000', /several tables/],
    ['SELECT gp_segment_id, row_to_json(t) FROM t ORDER BY 1', '0A000', /whole rows/],
    ['SELECT t.gp_segment_id, * FROM t JOIN rnd ON true JOIN u USING (k)', '0A000', /whole rows/],
    ['SELECT t.gp_segment_id FROM t NATURAL JOIN rnd', '0A000', /joined columns/],
    ['SELECT gp_segment_id(t) FROM t', '0A000', /a column, not a function/],
    ['CREATE VIEW v AS SELECT t.gp_segment_id FROM t', '0A000', /in a view/],
    ['CREATE VIEW v AS SELECT gp_segment_id FROM t', '0A000', /in a view/],
    ["SELECT * FROM gp_dist_random('nosuch')", '42P01', /"nosuch" does not exist/],
    ["SELECT * FROM gp_dist_random('live')", '0A000', /the coordinator fills it/],
    ["SELECT * FROM gp_dist_random('tv')", '0A000', /of view tv/],
    ["SELECT max(pg_sleep(0)::text) FROM gp_dist_random('gp_id')", '0A000', /pg_sleep cannot be combined/],
    ["SELECT 1 FROM gp_dist_random('pg_locks') a, pg_catalog.pg_locks b", '0A000', /in one statement/],
  ]
  for (const [sql, code, message] of cases) t.match(refused(sql), { code, message }, sql)
  t.end()
})

t.test("Greenplum's names that are not here are refused with what is", (t) => {
  const cases: readonly [sql: string, hint: RegExp][] = [
    ["SELECT gp_inject_fault('x', 'skip', 1)", /mirabelle fault inject/],
    ["SELECT gp_add_coordinator_standby('h', 'h', '/d')", /mirabelle standby init/],
    ['SELECT * FROM gp_toolkit.gp_skew_details', /gp_segment_status/],
    ['SELECT * FROM gp_distributed_xacts', /gp_dist_random\('pg_prepared_xacts'\)/],
    ['SELECT * FROM gp_locks', /gp_dist_random\('pg_locks'\)/],
    ['SELECT pg_promote()', /mirabelle standby activate/],
  ]
  for (const [sql, hint] of cases) t.match(refused(sql), { code: '0A000', hint }, sql)
  t.match(refused('SELECT * FROM gp_nosuch'), { code: '42P01' })
  t.end()
})
