/** Others change the schema between the moment in which a statement is planned and the one in which it runs. */
import t from 'tap'
import type pg from 'pg'
import { PlanOutdated } from '../src/execute/outdated.ts'
import { queryMessage } from '../src/lanes/frontend-bytes.ts'
import { startLocalCluster, type LocalCluster } from './support/local-cluster.ts'
import { sqlstate, WireClient } from './support/wire-client.ts'

const numbers = Array.from({ length: 12 }, (_, i) => i)

let cluster: LocalCluster
const clients: pg.Client[] = []
let b: pg.Client

t.before(async () => {
  cluster = await startLocalCluster()
  for (const _ of numbers) clients.push(await cluster.client())
  b = await cluster.client()
})
t.teardown(() => cluster.stop())

const COPY_DONE = Uint8Array.of(0x63, 0, 0, 0, 4)
const copyData = (line: string): Buffer => {
  const message = Buffer.alloc(5 + line.length, `d....${line}`)
  message.writeUInt32BE(4 + line.length, 1)
  return message
}

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: { code: string }) => error.code,
  )
/** Resolves once the statement of this client waits. */
const underWay = () => new Promise((resolve) => setTimeout(resolve, 60))

const create = (key: string) => `CREATE TABLE p (x int, y int) DISTRIBUTED BY (${key})`

/** Each row is where statements look for it. */
async function found(key: string): Promise<number> {
  let sum = 0
  for (const i of numbers)
    sum += (await b.query(`SELECT * FROM p WHERE ${key} = ${key === 'x' ? i : 7 * i}`)).rows.length
  return sum
}

for (const end of ['COMMIT', 'ROLLBACK'])
  t.test(`prepared statements beside a table that is made anew, ${end}`, async (t) => {
    await b.query('DROP TABLE IF EXISTS p')
    await b.query(create('x'))
    const insert = (i: number) =>
      (clients[i] as pg.Client).query({
        name: 'insert',
        text: 'INSERT INTO p VALUES ($1, $2)',
        values: [i, 7 * i],
      })
    await Promise.all(numbers.map(insert))
    await b.query('DELETE FROM p')
    await b.query('BEGIN')
    await b.query('DROP TABLE p')
    await b.query(create('y'))
    const inserts = numbers.map(insert)
    await underWay()
    await b.query(end)
    await Promise.all(inserts)
    t.equal(await found(end === 'COMMIT' ? 'y' : 'x'), numbers.length)
  })

t.test('COPY whose columns are filled in, beside a table that is made anew', async (t) => {
  await b.query('DROP TABLE p')
  await b.query('CREATE TABLE p (x int, y int, z float DEFAULT random()) DISTRIBUTED BY (x)')
  const wire = await WireClient.open(cluster.port)
  wire.send(queryMessage('COPY p (x, y) FROM STDIN'))
  await wire.until('G')
  for (const i of numbers) wire.send(copyData(`${i}\t${7 * i}\n`))
  await underWay()
  await b.query('DROP TABLE p')
  await b.query('CREATE TABLE p (x int, y int, z float DEFAULT random()) DISTRIBUTED BY (y)')
  wire.send(COPY_DONE)
  const [error] = await wire.until('E')
  wire.destroy()
  t.equal(sqlstate(error), '40001', 'its client is not told to send once more')
  t.equal(await found('y'), 0)
})

t.test('names in one message mean what they mean when their statement runs', async (t) => {
  await b.query('CREATE SCHEMA other')
  await b.query('CREATE TABLE named (x int, y int) DISTRIBUTED BY (x)')
  await b.query('CREATE TABLE other.named (x int, y int) DISTRIBUTED BY (y)')
  const rows = numbers.map((i) => `INSERT INTO named VALUES (${i}, ${7 * i})`).join(';')
  await b.query(`SET LOCAL search_path = other; ${rows}`)
  t.same((await b.query('SHOW search_path')).rows, [{ search_path: 'public' }])
  let sum = 0
  for (const i of numbers) sum += (await b.query(`SELECT * FROM other.named WHERE y = ${7 * i}`)).rows.length
  t.equal(sum, numbers.length)
})

t.test('a schema change that waits for a content which stands still keeps nobody else', async (t) => {
  const [client] = clients as [pg.Client]
  const ofOthers = (await b.query('SELECT x FROM other.named WHERE gp_segment_id = 0')).rows as {
    x: number
  }[]
  const read = () => b.query(`SELECT * FROM other.named WHERE y = ${7 * (ofOthers[0]?.x ?? -1)}`)
  for (const explicit of [false, true]) {
    const table = `later${explicit ? 1 : 0}`
    if (explicit) await client.query('BEGIN')
    if (explicit) await client.query(`CREATE TABLE ${table} (id int PRIMARY KEY)`)
    const open = cluster.closeGate(1)
    let ended = ''
    const change = code(
      client.query(explicit ? 'COMMIT' : `CREATE TABLE ${table} (id int PRIMARY KEY)`),
    ).then((outcome) => (ended = outcome))
    await underWay()
    t.equal((await read()).rows.length, 1)
    t.equal(ended, explicit ? '40001' : '', explicit ? 'its client does all of it again' : 'it waits')
    open()
    await change
    t.equal(ended, explicit ? '40001' : 'none')
    const policy = `SELECT policytype FROM gp_distribution_policy WHERE localoid = to_regclass('${table}')`
    t.equal((await b.query(policy)).rows.length, explicit ? 0 : 1)
  }
})

t.test(
  'what took the short way and met another schema takes the general one, and its client notices nothing',
  async (t) => {
    await b.query('CREATE TABLE short (x int) DISTRIBUTED BY (x)')
    const { dispatcher } = cluster
    const ways: readonly (string | pg.QueryConfig)[] = [
      'INSERT INTO short VALUES (1)',
      { text: 'INSERT INTO short VALUES ($1)', values: [1] },
      { name: 'short', text: 'INSERT INTO short VALUES ($1)', values: [1] },
    ]
    for (const way of ways) {
      await b.query(way)
      let outdated = 0
      const runOne = dispatcher.runOne.bind(dispatcher)
      dispatcher.runOne = (...asked) => {
        if (outdated > 0) return runOne(...asked)
        outdated++
        return { promise: Promise.reject(new PlanOutdated()), cancel() {} }
      }
      t.equal((await b.query(way)).rowCount, 1)
      dispatcher.runOne = runOne
      t.equal(outdated, 1)
    }
    t.same((await b.query('SELECT count(*)::int AS n FROM short')).rows, [{ n: 2 * ways.length }])
  },
)
