/** The shape cache gives the plan that the parser's way gives. */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { keyValue, Planner, type KeyPart, type Plan, type PlannedStatement } from '../src/index.ts'
import { shapeOf } from '../src/shape/lexer.ts'
import { catalog } from './fixture.ts'

const plain = await Planner.create({ shapes: 0 })
const cached = await Planner.create({ shapes: 50 })

/** The plan with the values of the literals put in. */
function resolved({ plan, literals }: PlannedStatement): unknown {
  const part = (p: KeyPart) => {
    if (p.source === 'param') return p
    const value = keyValue(p, literals, []).value
    // The parser drops leading zeros of integers, which mean nothing.
    return {
      type: p.type,
      value: typeof value === 'string' && /^-?\d+$/.test(value) ? String(BigInt(value)) : value,
    }
  }
  const key = (parts: readonly KeyPart[]) => parts.map(part)
  const strip = (p: Plan): unknown =>
    p.kind === 'direct'
      ? { ...p, key: key(p.key) }
      : p.kind === 'insert'
        ? { ...p, rows: p.rows.map(key) }
        : p
  return strip(plan)
}

const blank = fc.constantFrom(' ', '  ', '\n', ' /* x */ ', ' -- y\n', '\t')
const integer = fc.oneof(
  fc.integer(),
  fc.constantFrom(
    '0',
    '-0',
    '00012',
    '99999999999',
    '-3000000000',
    '123456789012345678901',
    '- 5',
    '- -5',
    '+5',
    '1_000',
    '0x1F',
  ),
)
const decimal = fc.constantFrom('1.5', '.5', '5.', '-2.25', '1e3', '10.00')
const string = fc.oneof(
  fc.string({ maxLength: 8 }).map((s) => `'${s.replaceAll("'", "''").replaceAll('\0', '')}'`),
  fc.constantFrom(
    "'it''s'",
    "''",
    "E'a\\'b'",
    "'now'",
    "'today'",
    "'2024-01-01'",
    "'é€😀'",
    '$$x$$',
    "N'x'",
    "'a'\n'b'",
    "'12'",
    "b'01'",
    "U&'\\0041'",
  ),
)
const value = fc.oneof(
  integer.map(String),
  decimal,
  string,
  fc.constantFrom(
    'null',
    'true',
    'now()',
    '$1',
    '$2',
    'random()',
    '1 + 1',
    "'5'::int",
    "date '2024-02-03'",
    'default',
    "nextval('s')",
  ),
)
const table = fc.constantFrom(
  't',
  'u',
  'two',
  'names',
  'days',
  'money',
  'serials',
  'rnd',
  'rep',
  'gen',
  '"Odd Name"',
  'other.far',
  'tv',
  'pg_class',
)
const column = fc.constantFrom('k', 'v', 'a', 'b', 'name', 'd', 'amount', 'x', 'id', '"K y"')
const condition = fc
  .tuple(column, fc.constantFrom('=', '=', '=', '>', '<>', 'like', '=-', '= -'), value)
  .map(([c, o, v]) => `${c} ${o} ${v}`)
const where = fc
  .array(condition, { maxLength: 3 })
  .map((list) => (list.length === 0 ? '' : `where ${list.join(' and ')}`))
const ending = fc.constantFrom('', ';', ' ; ', ' limit 5', ' order by 1', ' -- end', '; select 1')

const statement = fc.oneof(
  fc
    .tuple(fc.constantFrom('*', 'k, v', 'count(*)', "'lit', 7", 'lower(v)'), table, where, ending)
    .map(([list, name, w, end]) => ['select', list, 'from', name, w + end]),
  fc
    .tuple(table, column, value, where, ending)
    .map(([name, c, v, w, end]) => ['update', name, 'set', `${c} = ${v}`, w + end]),
  fc.tuple(table, where, ending).map(([name, w, end]) => ['delete', 'from', name, w + end]),
  fc
    .tuple(
      table,
      fc.array(fc.array(value, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 2 }),
      ending,
    )
    .map(([name, rows, end]) => [
      'insert',
      'into',
      name,
      'values',
      rows.map((row) => `(${row.join(', ')})`).join(', ') + end,
    ]),
  fc
    .tuple(
      fc.constantFrom(
        'begin',
        'commit',
        'set x = 5',
        "select set_config('a', 'b', false)",
        'execute p(1)',
        'show all',
      ),
      ending,
    )
    .map(([s, end]) => [s + end]),
)

const text = fc.tuple(statement, blank).map(([words, gap]) => words.filter((word) => word !== '').join(gap))

t.test('a plan from the cache equals the plan from the parser', (t) => {
  let shaped = 0
  fc.assert(
    fc.property(text, (sql) => {
      if (shapeOf(sql) !== undefined) shaped++
      const expected = plain.plan(sql, catalog)
      // Twice: the second time it comes from the cache if it can.
      for (let round = 0; round < 2; round++) {
        const found = cached.plan(sql, catalog)
        const [mine, theirs] = [found, expected].map((list) =>
          list.map((one) => [resolved(one), withoutEnd(one.sql)]),
        )
        if (!isDeepStrictEqual(mine, theirs)) t.strictSame(mine, theirs, sql)
      }
    }),
    { numRuns: 3000 },
  )
  // Some 1,000 of 6,000: it is tried in earnest, whatever is drawn.
  t.ok(cached.cacheCounts.hits > 700, `${cached.cacheCounts.hits} answers came from the cache`)
  t.ok(shaped > 1500, `${shaped} statements had a shape`)
  t.end()
})

/** The parser's statement leaves out a closing comment; a shape keeps it. */
function withoutEnd(sql: string): string {
  return sql.replace(/(\s|--[^\n]*\n?|\/\*[^*]*\*\/)*$/, '')
}

t.test('two texts of one shape differ only in literals', (t) => {
  const cases: [string, string, boolean][] = [
    ['select * from t where k=1', 'select * from t where k=2', true],
    ['select * from t where k=1', 'select * from t where k=1.0', false],
    ['select * from t where k=1', "select * from t where k='1'", false],
    ['select * from t where k=1', 'select * from t where k=-1', false],
    ['select * from t where k=$1', 'select * from t where k=$2', false],
    ['select "a 1" from t', 'select "a 2" from t', false],
    ["select 'a' /* 5 */", "select 'it''s' /* 6 */", true],
    ['select t1.k from t1', 'select t2.k from t2', false],
    ['select 123456789012345678', 'select 1234567890123456789', false],
  ]
  for (const [a, b, equal] of cases) t.equal(shapeOf(a)?.shape === shapeOf(b)?.shape, equal, `${a} / ${b}`)
  for (const sql of [
    "select E'x'",
    'select $$a$$',
    "select 'a'\n'b'",
    'select 0x1f',
    'select 1e5',
    "select u&'x'",
    'select 1; select 2',
    "select 'open",
    'select "open',
    'select /* open',
    'select 1_0',
    "select b'1'",
    'select /* a /* b */ c */ 1',
    'select 1a',
  ]) {
    t.equal(shapeOf(sql), undefined, `${sql} goes to the parser`)
  }
  t.strictSame(shapeOf("insert into t values (1, 'a''b', -2.5);")?.literals, ['1', "a'b", '2.5'])
  t.end()
})

t.test(
  'the cache forgets with the catalog version, and keeps search paths and parameter types apart',
  async (t) => {
    const planner = await Planner.create()
    const sql = 'select * from t where k = 1'
    t.equal(planner.plan(sql, catalog)[0]?.plan.kind, 'direct')
    const without = { ...catalog, version: 2, lookup: () => undefined }
    t.match(planner.plan(sql, without)[0]?.plan, { kind: 'unsupported', code: '42P01' })
    t.equal(planner.plan(sql, { ...catalog, version: 2, pathKey: 'other' })[0]?.plan.kind, 'direct')
    t.equal(planner.planOne('select * from t where k = $1', catalog, ['integer']).plan.kind, 'direct')
    t.equal(planner.planOne('select * from t where k = $1', catalog, ['numeric']).plan.kind, 'pushdown')
  },
)
