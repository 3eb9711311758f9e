/**
 * The cluster against one plain PostgreSQL: the same random statements on both must give the same rows, the same counts, the same errors.
 * Rows without ORDER BY are compared as a bag.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { cloneTemplate, createEngine, createTemplate } from '@mirabelle/engine'
import { firstError, resultsOf } from '@mirabelle/pgwire'
import type pg from 'pg'
import { bootstrapSql } from '../src/catalog/bootstrap-sql.ts'
import { queryMessage } from '../src/lanes/frontend-bytes.ts'
import { startLocalCluster, testPorts } from './support/local-cluster.ts'

interface Outcome {
  readonly error?: string
  readonly rows?: readonly (readonly (string | null)[])[]
  readonly count?: number | null
}

type Ask = (sql: string) => Promise<Outcome>

async function startOracle(): Promise<{ ask: Ask; stop: () => Promise<void> }> {
  const base = await mkdtemp(join(tmpdir(), 'mirabelle-oracle-'))
  await cloneTemplate(
    await createTemplate({ cacheDir: join(tmpdir(), 'mirabelle-test-templates'), bootstrapSql }),
    join(base, 'one'),
  )
  const ports = testPorts('oracle')
  const engine = createEngine({
    dataDir: join(base, 'one'),
    logger: ports.log,
    setTimer: (ms, fn) => ports.clock.setTimer(ms, fn),
  })
  await engine.startPrimary()
  let tag = 0
  return {
    async ask(sql) {
      const { output } = await engine.submit({ bytes: queryMessage(sql), syncs: 1, tag: ++tag })
      const error = firstError(output)
      if (error !== undefined) return { error: error.code }
      const result = resultsOf(output).at(-1)
      const count = /(\d+)$/.exec(result?.tag ?? '')?.[1]
      return { rows: result?.rows ?? [], count: count === undefined ? null : Number(count) }
    },
    async stop() {
      await engine.stop('immediate')
      await rm(base, { recursive: true, force: true })
    },
  }
}

function askCluster(client: pg.Client): Ask {
  return async (sql) => {
    try {
      const result = await client.query({
        text: sql,
        rowMode: 'array',
        types: { getTypeParser: () => (value: unknown) => value } as never,
      })
      const last = Array.isArray(result) ? (result.at(-1) as pg.QueryArrayResult) : result
      return { rows: last.rows, count: last.rowCount }
    } catch (error) {
      return { error: (error as { code: string }).code }
    }
  }
}

const SCHEMA = [
  ['CREATE TABLE a (id int PRIMARY KEY, g int, t text, n numeric(8,2))', 'DISTRIBUTED BY (id)'],
  ['CREATE TABLE b (aid int, x text, d date)', 'DISTRIBUTED BY (aid)'],
  ['CREATE TABLE c (g int, w text)', 'DISTRIBUTED RANDOMLY'],
  ['CREATE TABLE r (g int PRIMARY KEY, name text)', 'DISTRIBUTED REPLICATED'],
  ['CREATE VIEW va AS SELECT id, g, upper(t) AS u FROM a WHERE g > 1', ''],
] as const

const int = fc.integer({ min: 0, max: 12 })
const maybe = fc.oneof(
  { weight: 5, arbitrary: int.map(String) },
  { weight: 1, arbitrary: fc.constant('NULL') },
)
const word = fc.constantFrom('x', 'y', "o''k", 'Ü', '', 'tab\tbed', 'back\\slash')
const text = fc.oneof(
  { weight: 5, arbitrary: word.map((one) => `'${one}'`) },
  { weight: 1, arbitrary: fc.constant('NULL') },
)
const num = fc.constantFrom('1.5', '0', '-3.25', '99.999', 'NULL')
const date = fc.constantFrom("'2024-02-29'", "'1999-12-31'", 'NULL')
const list = <T>(of: fc.Arbitrary<T>) => fc.array(of, { minLength: 1, maxLength: 5 })
const rowA = fc.tuple(int, maybe, text, num).map(([id, g, s, n]) => `(${id}, ${g}, ${s}, ${n})`)
const rowB = fc.tuple(maybe, text, date).map((row) => `(${row.join(', ')})`)
const rowC = fc.tuple(maybe, text).map((row) => `(${row.join(', ')})`)

const condition = fc.oneof(
  int.map((id) => `id = ${id}`),
  int.map((g) => `g = ${g}`),
  fc.tuple(int, int).map(([low, high]) => `id BETWEEN ${low} AND ${high}`),
  fc.tuple(int, int).map(([x, y]) => `id IN (${x}, ${y})`),
  word.map((one) => `t = '${one}'`),
  fc.constantFrom('g IS NULL', 'n > 0', 'id % 2 = 0', 'true', 'id = g', 'id = 3 AND id = 4', 'NOT (g > 3)'),
)

const write = fc.oneof(
  list(rowA).map((rows) => `INSERT INTO a VALUES ${rows.join(', ')}`),
  list(rowA).map((rows) => `INSERT INTO a VALUES ${rows.join(', ')} ON CONFLICT (id) DO NOTHING`),
  list(rowA).map(
    (rows) => `INSERT INTO a VALUES ${rows[0]} ON CONFLICT (id) DO UPDATE SET g = 7 RETURNING id, g`,
  ),
  list(rowB).map((rows) => `INSERT INTO b VALUES ${rows.join(', ')}`),
  list(rowC).map((rows) => `INSERT INTO c VALUES ${rows.join(', ')}`),
  fc.tuple(int, text).map(([g, name]) => `INSERT INTO r VALUES (${g}, ${name})`),
  fc.tuple(condition, int).map(([where, g]) => `UPDATE a SET g = ${g}, n = n + 1 WHERE ${where}`),
  fc.tuple(condition).map(([where]) => `UPDATE a SET t = t || '!' WHERE ${where} RETURNING id, t`),
  condition.map((where) => `DELETE FROM a WHERE ${where}`),
  int.map((g) => `UPDATE r SET name = 'n${g}' WHERE g <= ${g}`),
  fc.constantFrom(
    'INSERT INTO b SELECT id, t, NULL FROM a',
    'INSERT INTO c SELECT g, max(t) FROM a GROUP BY g',
    'INSERT INTO a SELECT id + 20, g, t, n FROM a',
    'INSERT INTO b (aid) SELECT count(*) FROM c RETURNING aid, x',
    'DELETE FROM c',
    'UPDATE a SET g = a.g + 1 FROM b WHERE b.aid = a.id',
    'DELETE FROM a USING r WHERE r.g = a.g',
  ),
)

const read = fc.oneof(
  condition.map((where) => `SELECT * FROM a WHERE ${where}`),
  condition.map((where) => `SELECT id, g + 1 AS g1, coalesce(t, '-') FROM a WHERE ${where} ORDER BY id`),
  condition.map((where) => `SELECT count(*), sum(g), min(t), avg(n) FROM a WHERE ${where}`),
  fc
    .tuple(condition, int)
    .map(([where, n]) => `SELECT id FROM a WHERE ${where} ORDER BY id DESC LIMIT ${n} OFFSET 1`),
  int.map((id) => `SELECT a.t, b.x FROM a JOIN b ON a.id = b.aid WHERE a.id = ${id}`),
  fc.constantFrom(
    'SELECT a.id, b.x, b.d FROM a JOIN b ON a.id = b.aid',
    'SELECT a.id, b.x FROM a LEFT JOIN b ON a.id = b.aid ORDER BY 1, 2',
    'SELECT a.id, c.w FROM a FULL JOIN c ON a.g = c.g ORDER BY 1, 2',
    'SELECT a.id, r.name FROM a JOIN r ON r.g = a.g',
    'SELECT r.g, count(a.id) FROM r LEFT JOIN a USING (g) GROUP BY r.g ORDER BY r.g',
    "SELECT g, count(*), string_agg(t, ',' ORDER BY id) FROM a GROUP BY g ORDER BY g",
    'SELECT DISTINCT g FROM a ORDER BY g',
    'SELECT id, rank() OVER (ORDER BY g NULLS LAST, id) FROM a ORDER BY id',
    'SELECT g FROM a UNION SELECT g FROM c ORDER BY 1',
    'SELECT g FROM a UNION ALL SELECT g FROM c',
    'SELECT g FROM a EXCEPT SELECT g FROM r ORDER BY 1',
    'SELECT * FROM va ORDER BY id',
    'SELECT count(*) FROM va WHERE u IS NOT NULL',
    'SELECT id FROM a WHERE g IN (SELECT g FROM c) ORDER BY id',
    'SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.aid = a.id) ORDER BY id',
    'SELECT id, (SELECT count(*) FROM b WHERE b.aid = a.id) FROM a ORDER BY id',
    'WITH w AS (SELECT g, count(*) AS n FROM a GROUP BY g) SELECT * FROM w WHERE n > 1 ORDER BY g',
    'WITH RECURSIVE w(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM w WHERE n < 5) SELECT n, count(a.id) FROM w LEFT JOIN a ON a.id = n GROUP BY n ORDER BY n',
    'SELECT a1.id, a2.id FROM a a1, a a2 WHERE a1.id = a2.g ORDER BY 1, 2',
    'SELECT * FROM r',
    'SELECT g / 0 FROM a',
    'SELECT nothing FROM a',
    'VALUES (1), (2)',
    'SELECT b.aid FROM b WHERE aid = 3 OR aid = 4 ORDER BY 1',
    'SELECT max(id) FROM a HAVING count(*) > 3',
    'SELECT count(*) FROM a, b, c, r',
    'SELECT x.id FROM (SELECT id FROM a ORDER BY id LIMIT 3) x ORDER BY x.id',
    'SELECT id FROM a WHERE id = (SELECT max(aid) FROM b)',
  ),
)

const step = fc.oneof(
  { weight: 5, arbitrary: write },
  { weight: 6, arbitrary: read },
  {
    weight: 1,
    arbitrary: fc.constantFrom('BEGIN', 'COMMIT', 'ROLLBACK', 'SAVEPOINT s', 'ROLLBACK TO s', 'RELEASE s'),
  },
)

function comparable(sql: string, outcome: Outcome): unknown {
  if (outcome.rows === undefined) return outcome
  const rows = outcome.rows.map((row) => JSON.stringify(row))
  return {
    rows: /ORDER BY \S+( DESC)?(, \d)*( (LIMIT|OFFSET).*)?$/.test(sql) ? rows : rows.sort(),
    count: outcome.count,
  }
}

t.test('random statements give what one PostgreSQL gives', async (t) => {
  const cluster = await startLocalCluster({ contents: 3 })
  const oracle = await startOracle()
  t.teardown(async () => {
    await cluster.stop()
    await oracle.stop()
  })
  const ask = askCluster(await cluster.client())
  for (const [sql, clause] of SCHEMA) {
    t.equal((await ask(`${sql} ${clause}`)).error, undefined)
    t.equal((await oracle.ask(sql)).error, undefined)
  }
  const unsupported = new Map<string, number>()
  const seen = { withRows: 0, withError: 0, other: 0 }
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
      for (const all of [ask, oracle.ask]) {
        await all('ROLLBACK')
        await all('TRUNCATE a, b, c, r')
      }
      for (const sql of steps) {
        const here = await ask(sql)
        if (here.error === '0A000') {
          // Refused, never wrong; the transaction has failed here, so it ends on both sides.
          unsupported.set(sql, (unsupported.get(sql) ?? 0) + 1)
          await ask('ROLLBACK')
          await oracle.ask('ROLLBACK')
          continue
        }
        const there = await oracle.ask(sql)
        if (there.error !== undefined) seen.withError++
        else if ((there.rows?.length ?? 0) > 0) seen.withRows++
        else seen.other++
        const expected = JSON.stringify(comparable(sql, there))
        const actual = JSON.stringify(comparable(sql, here))
        if (actual !== expected)
          throw new Error(`${sql}\n  one PostgreSQL: ${expected}\n  the cluster:    ${actual}`)
      }
    }),
    {
      numRuns: Number(process.env['DIFFERENTIAL_RUNS'] ?? 60),
      ...(process.env['SEED'] === undefined ? {} : { seed: Number(process.env['SEED']) }),
    },
  )
  t.ok(seen.withRows > seen.withError / 4, 'enough of the statements gave rows')
  t.comment(JSON.stringify(seen))
  t.comment(`refused: ${[...unsupported.keys()].join(' | ')}`)
})
