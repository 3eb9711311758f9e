/** The COPY splitter hands out the same rows however the bytes are cut, and reads keys as PostgreSQL does. */
import t from 'tap'
import {
  ALL_CONTENTS,
  ANY_CONTENT,
  contentOfKey,
  CopyRowSplitter,
  MAX_ROW_BYTES,
  Planner,
  type CopyInPlan,
} from '../src/index.ts'
import { decodeTextField } from '../src/copy/copy-decode.ts'
import { catalog } from './fixture.ts'

const planner = await Planner.create()

function copy(sql: string): CopyInPlan {
  const plan = planner.plan(sql, catalog)[0]?.plan
  if (plan?.kind !== 'copyIn') throw new Error(`${sql}: ${JSON.stringify(plan)}`)
  return plan
}

/** Rows with their contents, in order, from input cut into pieces of `size`. */
function split(plan: CopyInPlan, input: string, size: number): [number | 'ask', string][] {
  const rows: [number | 'ask', string][] = []
  const splitter = new CopyRowSplitter(plan, 8, {
    rows: (content, bytes) => void rows.push([content, Buffer.from(bytes).toString()]),
    unplaced: (bytes, key) =>
      void rows.push(['ask', Buffer.from(bytes).toString() + JSON.stringify(key.map((part) => part.value))]),
  })
  const data = Buffer.from(input)
  for (let at = 0; at < data.length; at += size) splitter.push(data.subarray(at, at + size))
  splitter.finish()
  // Ranges are joined differently by different cuts: join neighbours of one content.
  return rows.reduce<[number | 'ask', string][]>((all, [content, bytes]) => {
    const last = all.at(-1)
    if (last !== undefined && last[0] === content && content !== 'ask') last[1] += bytes
    else all.push([content, bytes])
    return all
  }, [])
}

const at = (value: string | null, type = 'integer') =>
  contentOfKey([{ value, format: 0, type }], 8, undefined, [])

const cases: {
  name: string
  sql: string
  input: string
  keys: (string | null)[]
  rows: string[]
  type?: string
}[] = [
  {
    name: 'text',
    sql: 'copy t from stdin',
    input: '1\ta\n-2\tb\n\\N\tc\n',
    keys: ['1', '-2', null],
    rows: ['1\ta\n', '-2\tb\n', '\\N\tc\n'],
  },
  {
    name: 'text, escaped line ends and delimiters',
    sql: 'copy names(x, name) from stdin',
    input: '1\ta\\\nb\n2\tc\\\td\n3\tx\\\\\n4\t\\x41\\102\\n\n',
    keys: ['a\nb', 'c\td', 'x\\', 'AB\n'],
    rows: ['1\ta\\\nb\n', '2\tc\\\td\n', '3\tx\\\\\n', '4\t\\x41\\102\\n\n'],
    type: 'character varying(10)',
  },
  {
    name: 'text, end marker',
    sql: 'copy t from stdin',
    input: '1\ta\n\\.\n2\tb\n',
    keys: ['1'],
    rows: ['1\ta\n'],
  },
  {
    name: 'text, no last line end',
    sql: 'copy t from stdin',
    input: '1\ta\n2\tb',
    keys: ['1', '2'],
    rows: ['1\ta\n', '2\tb'],
  },
  {
    name: 'text, \\r\\n',
    sql: 'copy t(v, k) from stdin',
    input: 'a\t1\r\nb\t2\r\n',
    keys: ['1', '2'],
    rows: ['a\t1\r\n', 'b\t2\r\n'],
  },
  {
    name: 'text, \\r',
    sql: 'copy t(v, k) from stdin',
    input: 'a\t1\rb\t2\r',
    keys: ['1', '2'],
    rows: ['a\t1\r', 'b\t2\r'],
  },
  {
    name: 'csv with header',
    sql: 'copy t from stdin (format csv, header)',
    input: 'k,"v\nx"\n1,a\n"2","b\n""c"""\n',
    keys: ['1', '2'],
    rows: ['1,a\n', '"2","b\n""c"""\n'],
  },
  {
    name: 'csv, quoted line ends and delimiters',
    sql: 'copy names(x, name) from stdin csv',
    input: '1,"a,b\nc"\n"2\n",""\n3,\n4,"q""q"\n',
    keys: ['a,b\nc', '', null, 'q"q'],
    rows: ['1,"a,b\nc"\n', '"2\n",""\n', '3,\n', '4,"q""q"\n'],
    type: 'text',
  },
  {
    name: 'csv, other quote, escape, delimiter',
    sql: "copy names(x, name) from stdin (format csv, delimiter ';', quote '''', escape '\\')",
    input: "1;'a\\'\n;b'\n2;'\\\\'\n",
    keys: ["a'\n;b", '\\'],
    rows: ["1;'a\\'\n;b'\n", "2;'\\\\'\n"],
    type: 'text',
  },
  {
    name: 'csv, null text',
    sql: "copy t from stdin (format csv, null 'NIL')",
    input: 'NIL,x\n1,NIL\n',
    keys: [null, '1'],
    rows: ['NIL,x\n', '1,NIL\n'],
  },
]

for (const { name, sql, input, keys, rows, type } of cases) {
  t.test(`${name}: the same rows and places, cut at every byte`, (t) => {
    const plan = copy(sql)
    const expected: [number | 'ask', string][] = []
    keys.forEach((key, i) => {
      const content = at(key, type)
      const last = expected.at(-1)
      if (last?.[0] === content) last[1] += rows[i] ?? ''
      else expected.push([content, rows[i] ?? ''])
    })
    for (const size of [1, 2, 3, 5, 1000])
      t.strictSame(split(plan, input, size), expected, `pieces of ${size}`)
    for (let cut = 1; cut < input.length; cut++) {
      const out: string[] = []
      const splitter = new CopyRowSplitter(plan, 8, {
        rows: (_, bytes) => void out.push(Buffer.from(bytes).toString()),
        unplaced: () => t.fail(),
      })
      const data = Buffer.from(input)
      splitter.push(data.subarray(0, cut))
      splitter.push(data.subarray(cut))
      splitter.finish()
      t.equal(out.join(''), rows.join(''), `cut at ${cut}`)
      t.equal(splitter.rowCount, rows.length)
    }
    t.end()
  })
}

t.test('random, replicated, engine-hashed and broken rows', (t) => {
  t.strictSame(split(copy('copy rnd from stdin'), '1\ta\n2\tb\n', 3), [[ANY_CONTENT, '1\ta\n2\tb\n']])
  t.strictSame(split(copy('copy rep2 from stdin'), '1\ta\n2\tb\n', 3), [[ALL_CONTENTS, '1\ta\n2\tb\n']])
  t.strictSame(split(copy('copy money from stdin'), '1.5\t1\n', 2), [['ask', '1.5\t1\n["1.5"]']])
  t.strictSame(
    split(copy('copy t(v, k) from stdin'), 'no key\n', 100),
    [[0, 'no key\n']],
    'PostgreSQL of content 0 says what is wrong',
  )
  t.strictSame(split(copy('copy t(v) from stdin'), 'a\n', 100), [[at(null), 'a\n']], 'a key left out is NULL')
  t.throws(
    () => split(copy('copy t from stdin (format csv, header match)'), 'k,v,x,at\n', 4),
    /header of COPY t is/,
  )
  t.strictSame(split(copy('copy t(k, v) from stdin (format csv, header match)'), 'k,v\n1,a\n', 4), [
    [at('1'), '1,a\n'],
  ])
  const open = new CopyRowSplitter(copy('copy t from stdin csv'), 8, {
    rows: () => undefined,
    unplaced: () => undefined,
  })
  t.throws(() => {
    open.push(Buffer.from('1,"'))
    for (let size = 0; size <= MAX_ROW_BYTES; size += 16 << 20) open.push(Buffer.alloc(16 << 20, 97))
  }, /is longer than/)
  t.equal(decodeTextField(Buffer.from('\\b\\f\\v\\q\\0'), '\\N'), '\b\f\vq\0')
  t.end()
})

t.test('a default that the coordinator has to draw is evaluated there', (t) => {
  t.equal(copy('copy serials(v) from stdin').evaluate?.then.columns.join(), 'id,v')
  t.equal(copy('copy serials(id, v) from stdin').evaluate, undefined)
  t.equal(
    copy('copy rep(id, label) from stdin').evaluate?.then.columns.join(),
    'id,label,at',
    'now() must be equal on all copies',
  )
  t.equal(copy('copy gen from stdin').columns.join(), 'k')
  t.end()
})

t.test('splitting is faster than the engine can load', (t) => {
  const line = (i: number) =>
    `${i * 7919}\tsome text of a usual length ${i}\t${i}.25\t2024-01-01 00:00:00+00\n`
  const data = Buffer.from(Array.from({ length: 200_000 }, (_, i) => line(i)).join(''))
  const plan = copy('copy t from stdin')
  const started = process.hrtime.bigint()
  let bytes = 0
  const splitter = new CopyRowSplitter(plan, 4, {
    rows: (_, range) => void (bytes += range.length),
    unplaced: () => t.fail(),
  })
  for (let from = 0; from < data.length; from += 65536) splitter.push(data.subarray(from, from + 65536))
  splitter.finish()
  const rate = data.length / 1e6 / (Number(process.hrtime.bigint() - started) / 1e9)
  t.equal(bytes, data.length)
  t.ok(rate > 5, `${rate.toFixed(0)} MB/s`)
  t.comment(`${rate.toFixed(0)} MB/s`)
  t.end()
})
