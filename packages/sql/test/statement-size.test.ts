/** What is too much for the parser is refused before it gets there; nothing of ordinary size is. */
import t from 'tap'
import { Planner } from '../src/index.ts'
import { MAX_DEPTH, MAX_TOKENS } from '../src/lex/statement-size.ts'
import { catalog } from './fixture.ts'

const planner = await Planner.create({ shapes: 0 })
const codeOf = (sql: string): string => {
  const plan = planner.plan(sql, catalog)[0]?.plan
  return plan?.kind === 'unsupported' ? plan.code : 'planned'
}
const repeat = (count: number, text: string): string => text.repeat(count)

t.test('statements that are large, but not deep', async (t) => {
  const rows = Array.from({ length: 4_000 }, (_, i) => `(${i}, 'it''s -- ((( ${i}', -${i} + 1)`)
  const cases: [string, string][] = [
    ['many rows', `INSERT INTO t (k, v, n) VALUES ${rows.join(', ')}`],
    ['a long list', `SELECT * FROM t WHERE k IN (${Array.from({ length: 4_000 }, (_, i) => i).join(', ')})`],
    [
      'many conditions',
      `SELECT * FROM t WHERE ${Array.from({ length: 3_200 }, (_, i) => `k <> ${i}`).join(' AND ')}`,
    ],
    [
      'many alternatives',
      `SELECT * FROM t WHERE ${Array.from({ length: 3_200 }, (_, i) => `(k = ${i} AND v = 'x')`).join(' OR ')}`,
    ],
    [
      'a long CASE',
      `SELECT CASE ${Array.from({ length: 3_200 }, (_, i) => `WHEN k = ${i} THEN ${i + 1}`).join(' ')} ELSE 0 END FROM t`,
    ],
    ['many arms', Array.from({ length: 2_000 }, (_, i) => `SELECT ${i}, 'x'`).join(' UNION ALL ')],
    ['many statements', repeat(1_500, "SELECT 'ä', 1; ")],
    [
      'many queries of one WITH',
      `WITH ${Array.from({ length: 2_000 }, (_, i) => `q${i} AS (SELECT ${i})`).join(', ')} SELECT * FROM q7`,
    ],
    ['a long literal', `INSERT INTO t VALUES (1, '${repeat(500_000, '(')}')`],
    ['a long comment', `/* ${repeat(500_000, '(')} */ SELECT 1`],
    ['a long dollar quote', `SELECT $$${repeat(500_000, '( ')}$$`],
    ['a long quoted name', `SELECT 1 AS "${repeat(50, 'case (')}"`],
    ['hundreds of brackets', `SELECT ${repeat(400, 'lower(')}'x'${repeat(400, ')')}`],
  ]
  for (const [name, sql] of cases) t.equal(codeOf(sql), 'planned', name)
})

t.test('statements that are too deep', async (t) => {
  const n = 100_000
  const cases: [string, string][] = [
    ['brackets', `SELECT ${repeat(n, '(')}1${repeat(n, ')')}`],
    ['brackets without end', `SELECT ${repeat(n, '(')}`],
    ['subqueries', `SELECT ${repeat(n, '(SELECT ')}1${repeat(n, ')')}`],
    ['a sum', `SELECT ${repeat(n, '1 + ')}1`],
    ['a sum in a function', `SELECT abs(1, ${repeat(n, '1+')}1)`],
    ['signs', `SELECT ${repeat(n, '- ')}1`],
    ['NOT', `SELECT ${repeat(n, 'NOT ')}true`],
    ['casts', `SELECT 1${repeat(n, '::int')}`],
    ['IS NULL', `SELECT 1${repeat(n, ' IS NULL')}`],
    ['COLLATE', `SELECT v${repeat(n, ' COLLATE "C"')} FROM t`],
    ['CASE', `SELECT ${repeat(n, 'CASE WHEN true THEN ')}1${repeat(n, ' END')}`],
    ['arrays', `SELECT ${repeat(n, 'ARRAY[')}1${repeat(n, ']')}`],
    ['arms', `SELECT 1, 2${repeat(n, ' UNION ALL SELECT 1, 2')}`],
    ['joins', `SELECT * FROM t${repeat(n, ' JOIN u ON abs(1, 2) = 3')}`],
    ['AND in brackets', `SELECT ${repeat(n, 'true AND (')}true${repeat(n, ')')}`],
    ['lists in lists', `SELECT ${repeat(n, '(1, ')}1${repeat(n, ')')}`],
    ['behind another statement', `SELECT 1; SELECT ${repeat(n, '- ')}1`],
  ]
  for (const [name, sql] of cases) t.equal(codeOf(sql), '54001', name)
  t.equal(
    codeOf(`SELECT ${Array.from({ length: MAX_TOKENS }, () => '1').join(',')}`),
    '54000',
    'a text without end',
  )
  t.equal(codeOf('SELECT v, count(*) FROM t GROUP BY v'), 'planned', 'the parser is as it was')
})

t.test('what is let through does not break the parser, whatever it is nested with', async (t) => {
  const forms: ((n: number) => string)[] = [
    (n) => `SELECT ${repeat(n, '(SELECT ')}1${repeat(n, ')')}`,
    (n) => `SELECT * FROM ${repeat(n, '(SELECT * FROM ')}t${repeat(n, ') a')}`,
    (n) => `SELECT 1 WHERE ${repeat(n, 'EXISTS (SELECT 1 WHERE ')}true${repeat(n, ')')}`,
    (n) => `${repeat(n, 'WITH a AS (')}SELECT 1${repeat(n, ') SELECT 1')}`,
    (n) => `SELECT ${repeat(n, 'lower(')}'x'${repeat(n, ')')}`,
    (n) => `SELECT 'x'${repeat(n, " AT TIME ZONE 'u'")}`,
    (n) => `SELECT ${repeat(n, 'x IN (SELECT ')}1${repeat(n, ')')}`,
    (n) => `SELECT ${repeat(n, '- ')}1`,
    (n) => `SELECT 1, 2${repeat(n, ' UNION ALL SELECT 1, 2')}`,
  ]
  for (const form of forms) {
    // The deepest that is let through.
    let [most, tooMuch] = [1, MAX_DEPTH + 1]
    while (tooMuch - most > 1) {
      const middle = Math.floor((most + tooMuch) / 2)
      if (codeOf(form(middle)) === '54001') tooMuch = middle
      else most = middle
    }
    for (let turn = 0; turn < 3; turn++) codeOf(form(most))
    t.equal(codeOf(`SELECT v, count(*) FROM t WHERE k > ${most} GROUP BY v`), 'planned', form(2))
  }
})
