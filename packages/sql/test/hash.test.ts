import { PGlite } from '@electric-sql/pglite'
import t from 'tap'
import { combineHash } from '../src/hash/combine.ts'
import { contentOfKey, distributionHash, type EngineHash } from '../src/hash/distribution-hash.ts'

const database = new PGlite()
t.teardown(() => database.close())

let state = 12345
const random = (below: number) => {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0
  return Math.floor((state / 2 ** 32) * below)
}
const many = <T>(count: number, make: (i: number) => T) => Array.from({ length: count }, (_, i) => make(i))
const hex = (n: number) => many(n, () => '0123456789abcdef'[random(16)]).join('')
const int64 = () => BigInt.asIntN(random(64) + 1, (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32)))
const text = () =>
  many(random(40), () =>
    String.fromCodePoint([97 + random(26), 32, 0xe9, 0x20ac, 0x1f600][random(5)] as number),
  ).join('')
const two = (n: number) => String(n).padStart(2, '0')
const date = () =>
  `${String(1 + random(9998)).padStart(4, '0')}-${two(1 + random(12))}-${two(1 + random(28))}`
const time = () =>
  `${two(random(24))}:${two(random(60))}:${two(random(60))}${random(2) ? '.' + String(random(1e6)).padStart(6, '0') : ''}`

const samples: Record<string, string[]> = {
  smallint: many(500, () => String(random(65536) - 32768)),
  integer: [...many(2000, () => String(random(2 ** 32) - 2 ** 31)), '0', '-1', '2147483647', '-2147483648'],
  bigint: [
    ...many(3000, () => String(int64())),
    '9223372036854775807',
    '-9223372036854775808',
    '4294967296',
    '-4294967297',
  ],
  text: many(3000, text),
  'character varying(12)': many(500, () => text().slice(0, 5) + ' '.repeat(random(12))),
  'character(50)': many(500, text),
  boolean: ['t', 'f', 'true', 'false'],
  uuid: many(1000, () => `${hex(8)}-${hex(4)}-${hex(4)}-${hex(4)}-${hex(12)}`),
  date: [...many(2000, date), '2000-02-29', '0001-01-01', '1999-12-31'],
  'timestamp without time zone': [
    ...many(2000, () => `${date()} ${time()}`),
    '2024-01-01',
    '2024-01-01T10:11',
  ],
  'timestamp(3) without time zone': ['2024-05-06 07:08:09.123', '1900-01-01 00:00:00.5'],
  'timestamp with time zone': many(
    2000,
    () => `${date()} ${time()}${['Z', '+00', '-03:30', '+0545', '+14'][random(5)]}`,
  ),
}

for (const [type, values] of Object.entries(samples)) {
  t.test(`the hash of ${type} is PostgreSQL's own`, async (t) => {
    const base = /^[^(]*/.exec(type)?.[0]
    const names: Record<string, string> = {
      smallint: 'hashint2extended',
      integer: 'hashint4extended',
      bigint: 'hashint8extended',
      text: 'hashtextextended',
      'character varying': 'hashtextextended',
      character: 'hashbpcharextended',
      boolean: 'hashboolextended',
      uuid: 'uuid_hash_extended',
      date: 'hashdateextended',
      'timestamp with time zone': 'timestamptz_hash_extended',
    }
    const name = names[base ?? ''] ?? 'timestamp_hash_extended'
    await database.exec(`set datestyle to iso; create temp table v (i int, x ${type})`)
    for (let at = 0; at < values.length; at += 500) {
      await database.query(
        `insert into v select o, u::${type} from unnest($1::text[]) with ordinality a(u, o)`,
        [values.slice(at, at + 500)],
      )
      const { rows } = await database.query<{ h: string }>(`select ${name}(x, 0)::text h from v order by i`)
      values.slice(at, at + 500).forEach((value, i) => {
        const mine = distributionHash({ value, format: 0, type })
        if (String(mine) !== rows[i]?.h) t.equal(String(mine), rows[i]?.h, `${type} ${JSON.stringify(value)}`)
      })
      await database.exec('truncate v')
    }
    await database.exec('drop table v')
    t.pass(`${values.length} values`)
  })
}

t.test('binary parameters hash as their text', async (t) => {
  const buffer = Buffer.alloc(8)
  for (let i = 0; i < 500; i++) {
    const value = int64()
    buffer.writeBigInt64BE(value)
    t.equal(
      distributionHash({ value: buffer, format: 1, type: 'integer', paramType: 'bigint' }),
      distributionHash({ value: String(value), format: 0, type: 'bigint' }),
    )
  }
  buffer.writeInt32BE(-77)
  t.equal(
    distributionHash({ value: buffer.subarray(0, 4), format: 1, type: 'bigint', paramType: 'integer' }),
    distributionHash({ value: '-77', format: 0, type: 'bigint' }),
  )
  t.equal(
    distributionHash({ value: Buffer.from([1]), format: 1, type: 'boolean' }),
    distributionHash({ value: 'true', format: 0, type: 'boolean' }),
  )
})

t.test('what TypeScript cannot read becomes a question that the engine answers', async (t) => {
  const cases: [string, string, string][] = [
    ['1.50', 'numeric(10,2)', '1.5'],
    ['7', 'numeric', '7.00'],
    ['0.5', 'real', '0.5'],
    ['now', 'timestamp with time zone', ''],
    ['Jan 2 2024', 'date', '2024-01-02'],
    [' 17 ', 'integer', '17'],
    ['yes', 'boolean', 't'],
    ['24:00', 'time without time zone', '24:00:00'],
    ['{12345678-1234-1234-1234-123456789abc}', 'uuid', '12345678123412341234123456789abc'],
  ]
  for (const [value, type, same] of cases) {
    const question = distributionHash({ value, format: 0, type })
    if (typeof question === 'bigint') return t.fail(`${type} ${value} should need the engine`)
    const { rows } = await database.query<{ h: string }>(
      `select (${question.sql.replace(/^SELECT/, 'select')})::text h`,
      [question.value],
    )
    t.match(rows[0]?.h, /^-?\d+$/)
    if (same === '') continue
    const other = distributionHash({ value: same, format: 0, type })
    const expected =
      typeof other === 'bigint'
        ? String(other)
        : (await database.query<{ h: string }>(`select (${other.sql})::text h`, [same])).rows[0]?.h
    t.equal(rows[0]?.h, expected, `${type}: ${value} equals ${same}`)
    const missing: EngineHash[] = []
    t.equal(contentOfKey([{ value, format: 0, type }], 4, undefined, missing), -1)
    t.ok(
      contentOfKey([{ value, format: 0, type }], 4, new Map([[question.id, BigInt(rows[0]?.h ?? 0)]]), []) >=
        0,
    )
    t.equal(missing.length, 1)
  }
})

t.test('several columns are combined as hash_combine64 does', (t) => {
  const reference = (a: bigint, b: bigint) =>
    BigInt.asUintN(64, a ^ (b + 0x49a0f4dd15e5a8e3n + (a << 54n) + (a >> 7n)))
  let wrong = 0
  for (let i = 0; i < 2000; i++) {
    const [a, b] = [BigInt.asUintN(64, int64()), BigInt.asUintN(64, int64())]
    const into = { hi: Number(a >> 32n), lo: Number(a & 0xffffffffn) }
    combineHash(into, { hi: Number(b >> 32n), lo: Number(b & 0xffffffffn) })
    const mine = (BigInt(into.hi) << 32n) | BigInt(into.lo)
    if (mine !== reference(a, b)) wrong++
  }
  t.equal(wrong, 0)
  t.end()
})

t.test(
  'jump hashing agrees with its definition, spreads evenly, and growing moves rows only to the new content',
  (t) => {
    const reference = (key: bigint, buckets: number) => {
      let b = -1n
      let j = 0n
      while (j < BigInt(buckets)) {
        b = j
        key = BigInt.asUintN(64, key * 2862933555777941757n + 1n)
        j = BigInt(Math.floor(Number(b + 1n) * (2 ** 31 / Number((key >> 33n) + 1n))))
      }
      return Number(b)
    }
    const counts = [0, 0, 0, 0, 0]
    for (let i = 0; i < 5000; i++) {
      const value = String(i)
      const key = [{ value, format: 0 as const, type: 'integer' }]
      const five = contentOfKey(key, 5, undefined, [])
      const six = contentOfKey(key, 6, undefined, [])
      const hash = distributionHash({ value, format: 0, type: 'integer' })
      if (five !== reference(BigInt.asUintN(64, hash as bigint), 5)) t.fail(`content of ${i}`)
      if (six !== five && six !== 5) t.fail(`${i} moved from ${five} to ${six}`)
      counts[five] = (counts[five] ?? 0) + 1
    }
    for (const count of counts) t.ok(count > 850 && count < 1150, `even: ${counts}`)
    t.equal(
      contentOfKey([{ value: null, format: 0, type: 'integer' }], 5, undefined, []),
      0 + reference(0n, 5),
      'NULL has a place',
    )
    t.end()
  },
)
