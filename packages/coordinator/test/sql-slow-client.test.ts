/** A client that does not read its answer: nobody else waits for it, and it gets all of it when it goes on. */
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import type pg from 'pg'
import { startLocalCluster, type LocalCluster } from './support/local-cluster.ts'

let cluster: LocalCluster
let other: pg.Client

/** More than the buffers of a loopback connection take. */
const ROWS = 30_000
const WIDTH = 1_000

t.before(async () => {
  cluster = await startLocalCluster()
  other = await cluster.client()
  await other.query('CREATE TABLE wide (k int PRIMARY KEY, v text)')
  await other.query(`INSERT INTO wide SELECT i, repeat('x', ${WIDTH}) FROM generate_series(1, ${ROWS}) i`)
})
t.teardown(() => cluster.stop())

function startup(): Buffer {
  const body = Buffer.from('\0\x03\0\0user\0postgres\0database\0postgres\0\0', 'latin1')
  const head = Buffer.alloc(4)
  head.writeInt32BE(body.length + 4)
  return Buffer.concat([head, body])
}

function query(sql: string): Buffer {
  const text = Buffer.from(`${sql}\0`)
  const head = Buffer.alloc(5)
  head.write('Q')
  head.writeInt32BE(text.length + 4, 1)
  return Buffer.concat([head, text])
}

/** A logged-in connection that reads nothing from here on. */
async function slowClient(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(startup())
  let seen = Buffer.alloc(0)
  // ReadyForQuery: Z, length 5, idle.
  while (!seen.includes(Buffer.from('Z\0\0\0\x05I', 'latin1')))
    seen = Buffer.concat([seen, ((await once(socket, 'data')) as [Buffer])[0]])
  socket.pause()
  return socket
}

/** Counts the rows up to ReadyForQuery. */
async function readAnswer(socket: Socket): Promise<{ rows: number; tag: string }> {
  let rest = Buffer.alloc(0)
  let rows = 0
  let tag = ''
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  for (;;) {
    const { value, done } = await chunks.next()
    if (done === true) throw new Error('the connection ended')
    rest = Buffer.concat([rest, value])
    let at = 0
    while (rest.length - at >= 5) {
      const end = at + 1 + rest.readInt32BE(at + 1)
      if (end > rest.length) break
      const type = String.fromCharCode(rest[at] as number)
      if (type === 'D') rows += 1
      if (type === 'C') tag = rest.toString('latin1', at + 5, end - 1)
      if (type === 'Z') return { rows, tag }
      at = end
    }
    rest = rest.subarray(at)
  }
}

for (const sql of [
  'SELECT * FROM wide',
  'SELECT * FROM wide ORDER BY k', // gathered: the coordinator's lane
  'COPY wide TO STDOUT',
]) {
  t.test(`${sql}: others do not wait for who does not read it`, async (t) => {
    const slow = await slowClient(cluster.port)
    t.teardown(() => slow.destroy())
    slow.write(query(sql))
    // All lanes, the coordinator's as well.
    for (let i = 0; i < 5; i += 1) {
      await other.query('UPDATE wide SET v = v WHERE k <= 10')
      await other.query('SELECT count(*) FROM wide')
    }
    t.ok(slow.isPaused())
    if (sql.startsWith('COPY')) return
    const { rows, tag } = await readAnswer(slow)
    t.equal(rows, ROWS)
    t.equal(tag, `SELECT ${ROWS}`)
  })
}
