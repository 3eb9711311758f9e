/** The extended protocol message by message: pipelines, errors in the middle, portals, binary values, COPY through Execute. */
import t from 'tap'
import {
  encodeBind,
  encodeClose,
  encodeDescribe,
  encodeExecute,
  encodeParse,
  encodeQuery,
  FLUSH,
  SYNC,
} from '@mirabelle/pgwire'
import type pg from 'pg'
import { startLocalCluster, type LocalCluster } from './support/local-cluster.ts'
import { sqlstate, tagOf, WireClient } from './support/wire-client.ts'

let cluster: LocalCluster
let wire: WireClient
let client: pg.Client

t.before(async () => {
  cluster = await startLocalCluster()
  client = await cluster.client()
  await client.query('CREATE TABLE e (id int PRIMARY KEY, v text, d float8)')
  await client.query("INSERT INTO e SELECT g, 'v' || g, g / 8.0 FROM generate_series(1, 100) g")
  wire = await WireClient.open(cluster.port)
})
t.teardown(async () => {
  wire.destroy()
  await cluster.stop()
})

const prepare = (statement: string, query: string) => encodeParse({ statement, query })
const int4 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

t.test(
  'Parse, Bind, Describe, Execute, Sync in one go, twice: the second time by the hot path',
  async (t) => {
    for (const _ of [1, 2]) {
      wire.send(
        prepare('', 'SELECT v FROM e WHERE id = $1'),
        encodeBind({ parameters: ['7'] }),
        encodeDescribe({ kind: 'P', name: '' }),
        encodeExecute(),
        SYNC,
      )
      const messages = await wire.until('Z')
      t.equal(messages.map((message) => message.type).join(''), '12TDCZ')
      t.match(messages[3]?.body.toString(), /v7/)
    }
  },
)

t.test('a named statement is described with its parameter types and columns', async (t) => {
  wire.send(
    prepare('s1', 'SELECT v, d FROM e WHERE id = $1'),
    encodeDescribe({ kind: 'S', name: 's1' }),
    SYNC,
  )
  const messages = await wire.until('Z')
  t.equal(messages.map((message) => message.type).join(''), '1tTZ')
  t.equal(messages[1]?.body.readInt32BE(2), 23, 'int4')
  wire.send(prepare('s1', 'SELECT 1'), SYNC)
  t.equal(sqlstate((await wire.until('Z'))[0]), '42P05')
})

t.test('binary parameters and results, on one content and on several', async (t) => {
  wire.send(
    encodeBind({ statement: 's1', parameterFormats: [1], parameters: [int4(8)], resultFormats: [1] }),
    encodeExecute(),
    SYNC,
  )
  const row = (await wire.until('Z')).find((message) => message.type === 'D')?.body
  t.equal(row?.readDoubleBE(row.length - 8), 1, 'd of row 8 in binary')
  wire.send(
    prepare('', 'SELECT d FROM e WHERE id > $1 ORDER BY d'),
    encodeBind({ parameters: ['98'], resultFormats: [1] }),
    encodeExecute(),
    SYNC,
  )
  const rows = (await wire.until('Z')).filter((message) => message.type === 'D')
  t.strictSame(
    rows.map(({ body }) => body.readDoubleBE(6)),
    [99 / 8, 100 / 8],
    'gathered',
  )
})

t.test('an error skips everything up to Sync; what was before it in the pipeline is undone', async (t) => {
  wire.send(
    prepare('ins', 'INSERT INTO e VALUES ($1, $2)'),
    encodeBind({ statement: 'ins', parameters: ['1001', 'a'] }),
    encodeExecute(),
    encodeBind({ statement: 'ins', parameters: ['1', 'twice'] }),
    encodeExecute(),
    encodeBind({ statement: 'ins', parameters: ['1002', 'b'] }),
    encodeExecute(),
    SYNC,
    encodeQuery('SELECT count(*) FROM e WHERE id > 1000'),
  )
  const first = await wire.until('Z')
  t.equal(first.map((message) => message.type).join(''), '12C2EZ')
  t.equal(sqlstate(first[4]), '23505')
  const second = await wire.until('Z')
  t.match(second[1]?.body.toString(), /0$/, 'the first insert of the pipeline was rolled back')
})

t.test('several writes of a pipeline are one transaction over contents', async (t) => {
  const inserts = Array.from({ length: 10 }, (_, i) => [
    encodeBind({ statement: 'ins', parameters: [String(2000 + i), 'p'] }),
    encodeExecute(),
  ]).flat()
  wire.send(...inserts, SYNC)
  t.equal(await wire.types(), `${'2C'.repeat(10)}Z`)
  t.equal((await client.query('SELECT * FROM e WHERE id >= 2000')).rowCount, 10)
})

t.test('a portal hands out its rows in portions', async (t) => {
  wire.send(
    encodeQuery('BEGIN'),
    prepare('', 'SELECT id FROM e WHERE id <= 5 ORDER BY id'),
    encodeBind({ portal: 'p' }),
    encodeExecute({ portal: 'p', maxRows: 2 }),
    FLUSH,
  )
  await wire.until('Z')
  t.equal((await wire.until('s')).map((message) => message.type).join(''), '12DDs')
  wire.send(encodeExecute({ portal: 'p', maxRows: 2 }), encodeExecute({ portal: 'p', maxRows: 2 }), SYNC)
  const rest = await wire.until('Z')
  t.equal(rest.map((message) => message.type).join(''), 'DDsDCZ')
  t.equal(tagOf(rest[4]), 'SELECT 1')
  wire.send(encodeClose({ kind: 'P', name: 'p' }), encodeQuery('COMMIT'))
  t.equal(await wire.types(), '3CZ')
})

t.test('transaction control, SHOW and SET through the extended protocol', async (t) => {
  const run = (query: string) => [
    prepare('', query),
    encodeBind({}),
    encodeDescribe({ kind: 'P', name: '' }),
    encodeExecute(),
  ]
  wire.send(...run('BEGIN'), SYNC)
  const begun = await wire.until('Z')
  t.equal(begun.map((message) => message.type).join(''), '12nCZ')
  t.equal(begun.at(-1)?.body.toString(), 'T')
  wire.send(...run("SET TimeZone = 'Asia/Tokyo'"), ...run('SHOW TimeZone'), ...run('ROLLBACK'), SYNC)
  t.match((await wire.types()).replaceAll('S', ''), /^12nC12TDC12nCZ$/)
})

t.test('binding the wrong number of parameters and unknown names', async (t) => {
  wire.send(encodeBind({ statement: 's1', parameters: [] }), SYNC)
  t.equal(sqlstate((await wire.until('Z'))[0]), '08P01')
  wire.send(encodeBind({ statement: 'nobody' }), SYNC)
  t.equal(sqlstate((await wire.until('Z'))[0]), '26000')
  wire.send(encodeExecute({ portal: 'nobody' }), SYNC)
  t.equal(sqlstate((await wire.until('Z'))[0]), '34000')
  wire.send(prepare('', 'SELEC 1'), SYNC)
  t.equal(sqlstate((await wire.until('Z'))[0]), '42601')
  wire.send(encodeBind({ statement: 's1', parameters: ['seven'] }), encodeExecute(), SYNC)
  const wrong = await wire.until('Z')
  t.equal(sqlstate(wrong.find((message) => message.type === 'E')), '22P02')
})

t.test('text that is no UTF-8 is an error of its statement, not the end of the session', async (t) => {
  const broken = Buffer.from(encodeQuery("SELECT 'x'"))
  broken[13] = 0xff
  wire.send(broken)
  t.equal(sqlstate((await wire.until('Z'))[0]), '22021')
  wire.send(
    encodeBind({ statement: 's1\u00e9', parameters: ['1'] }).map((byte) => (byte === 0xc3 ? 0xff : byte)),
    encodeExecute(),
    SYNC,
  )
  t.equal(sqlstate((await wire.until('Z'))[0]), '22021')
  wire.send(encodeQuery('SELECT 1'))
  t.equal(await wire.types(), 'TDCZ')
})

t.test('a prepared statement lives through a schema change', async (t) => {
  const named = { name: 'live', text: 'SELECT * FROM e WHERE id = $1', values: [1] }
  t.equal(Object.keys((await client.query(named)).rows[0]).length, 3)
  await client.query('ALTER TABLE e ADD COLUMN extra int')
  wire.send(encodeBind({ statement: 's1', parameters: ['1'] }), encodeExecute(), SYNC)
  t.equal(await wire.types(), '2DCZ')
})

t.test('COPY FROM STDIN through Execute, with a Sync that comes before the data', async (t) => {
  wire.send(prepare('', 'COPY e (id, v) FROM STDIN'), encodeBind({}), encodeExecute(), SYNC)
  t.equal((await wire.until('G')).map((message) => message.type).join(''), '12G')
  const data = (text: string): Buffer => {
    const bytes = Buffer.alloc(5 + text.length)
    bytes.write('d')
    bytes.writeInt32BE(4 + text.length, 1)
    bytes.write(text, 5)
    return bytes
  }
  wire.send(data('3001\tx\n30'), data('02\ty\n'), Buffer.from([0x63, 0, 0, 0, 4]), SYNC)
  const done = await wire.until('Z')
  t.equal(done.map((message) => message.type).join(''), 'CZ')
  t.equal(tagOf(done[0]), 'COPY 2')
  t.equal((await client.query('SELECT * FROM e WHERE id > 3000')).rowCount, 2)
})

t.test('a COPY with bad data says so and the session goes on', async (t) => {
  wire.send(encodeQuery('COPY e (id, v) FROM STDIN'))
  await wire.until('G')
  const text = 'seven\tx\n'
  const head = Buffer.alloc(5)
  head.write('d')
  head.writeInt32BE(4 + text.length, 1)
  wire.send(head, Buffer.from(text), Buffer.from([0x63, 0, 0, 0, 4]))
  t.equal(sqlstate((await wire.until('Z'))[0]), '22P02')
  wire.send(encodeQuery('SELECT 1'))
  t.equal(await wire.types(), 'TDCZ')
})

t.test('COPY fails on the word of the client, and when the client goes nothing is left', async (t) => {
  wire.send(encodeQuery('COPY e (id, v) FROM STDIN'))
  await wire.until('G')
  wire.send(Buffer.concat([Buffer.from([0x66, 0, 0, 0, 8]), Buffer.from('why\0')]))
  t.equal(sqlstate((await wire.until('Z'))[0]), '57014')
  const other = await WireClient.open(cluster.port)
  other.send(encodeQuery('COPY e (id, v) FROM STDIN'))
  await other.until('G')
  other.destroy()
  t.equal(
    (await client.query("UPDATE e SET v = 'free' WHERE id = 1")).rowCount,
    1,
    'the lanes are free again',
  )
})

t.test('a big result is streamed at the pace of the client', async (t) => {
  const big = await client.query("SELECT id, repeat('x', 20000) AS v FROM e")
  t.ok(big.rows.length > 100)
  t.ok(big.rows.every((row: { v: string }) => row.v.length === 20000))
  const gathered = await client.query("SELECT id, repeat('x', 20000) AS v FROM e ORDER BY id")
  t.equal(gathered.rows.length, big.rows.length)
})
