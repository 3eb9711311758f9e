/** Statements that are too much for somebody: a client is told, and the others, the parser and the engines go on. */
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
  await a.query('CREATE TABLE kv (k int PRIMARY KEY, v text)')
  await a.query("INSERT INTO kv SELECT i, 'v' || i FROM generate_series(1, 20) i")
})
t.teardown(() => cluster.stop())

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: { code: string }) => error.code ?? 'no code',
  )

/** Each nests n times; the last ones do so on segments. */
const DEEP: Readonly<Record<string, (n: number) => string>> = {
  brackets: (n) => `SELECT ${'('.repeat(n)}1${')'.repeat(n)}`,
  sum: (n) => `SELECT ${Array.from({ length: n }, () => 'random()').join('+')}`,
  signs: (n) => `SELECT ${'- '.repeat(n)}random()`,
  not: (n) => `SELECT ${'NOT '.repeat(n)}(random() > 2)`,
  casts: (n) => `SELECT random()${'::text'.repeat(n)}`,
  subqueries: (n) => `SELECT ${'(SELECT '.repeat(n)}1${')'.repeat(n)}`,
  from: (n) => `SELECT * FROM ${'(SELECT * FROM '.repeat(n)}pg_class${') a'.repeat(n)}`,
  exists: (n) => `SELECT 1 WHERE ${'EXISTS (SELECT 1 WHERE '.repeat(n)}true${')'.repeat(n)}`,
  functions: (n) => `SELECT ${'abs('.repeat(n)}random()${')'.repeat(n)}`,
  arrays: (n) => `SELECT ${'ARRAY['.repeat(n)}1${']'.repeat(n)}`,
  cases: (n) => `SELECT ${'CASE WHEN random() > 2 THEN '.repeat(n)}1${' END'.repeat(n)}`,
  unions: (n) => Array.from({ length: n }, (_, i) => `SELECT ${i}, 1`).join(' UNION ALL '),
  joins: (n) =>
    `SELECT 1 FROM pg_am a0${Array.from({ length: n }, (_, i) => ` CROSS JOIN LATERAL (SELECT 1) a${i + 1}`).join('')}`,
  with: (n) => `${'WITH q AS ('.repeat(n)}SELECT 1${') SELECT * FROM q'.repeat(n)}`,
  json: (n) => `SELECT '${'['.repeat(n)}${']'.repeat(n)}'::json`,
  regexp: (n) => `SELECT 'a' ~ '${'('.repeat(n)}a${')'.repeat(n)}'`,
  'on a segment': (n) => `SELECT ${'abs('.repeat(n)}k${')'.repeat(n)} FROM kv WHERE k = 1`,
  'sum on a segment': (n) => `SELECT ${Array.from({ length: n }, () => 'k').join('+')} FROM kv WHERE k = 1`,
  'and on segments': (n) =>
    `SELECT k FROM kv WHERE ${Array.from({ length: n }, (_, i) => `k <> ${i + 100}`).join(' AND ')}`,
  gathered: (n) => `SELECT count(${'abs('.repeat(n)}k${')'.repeat(n)}) FROM kv`,
}
/** 0: it runs. Otherwise what PostgreSQL, or we for it, say of a statement that is too deep. */
const EXPECTED = /^(none|54001|54000|54011|22023|2201B|22P02|42601)$/

for (const [name, statement] of Object.entries(DEEP))
  t.test(`nested deeply: ${name}`, async (t) => {
    for (const n of [100, 700, 2_900, 20_000]) {
      if (name === 'joins' && n > 100) continue // PostgreSQL's planner takes all memory for hundreds of them, here as elsewhere
      t.match(await code(a.query(statement(n))), EXPECTED, `${n} deep`)
    }
    const extended = { text: statement(name === 'joins' ? 50 : 600), values: [], name: '' }
    t.match(await code(a.query(extended)), EXPECTED, 'extended protocol')
    t.strictSame((await b.query('SELECT count(*)::int AS n FROM kv')).rows, [{ n: 20 }], 'the others go on')
    t.strictSame((await a.query('SELECT v FROM kv WHERE k = 7')).rows, [{ v: 'v7' }], 'and so does this one')
  })
