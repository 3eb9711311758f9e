// Somebody does not read: a client that asked for much, a hundred that send statement after statement, a mirror that is stopped. Whoever produces has to wait; no process
// collects what is not taken, others are served, and everything goes on when it is read, or ends when nobody ever does.
import t, { type Test } from 'tap'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { encodeQuery, encodeStartup } from '@mirabelle/pgwire'
import { inSync, TestCluster, waitFor } from '@mirabelle/testkit/cluster'

t.setTimeout(900_000)

const MIB = 1024 * 1024
const CLIENTS = 100
/** Statements that a client sends without reading; each is answered with half a megabyte. */
const STATEMENTS = 400
const ROWS = 500
/** A client that takes nothing for so long is cut off (packages/pgwire). */
const WRITE_TIMEOUT_MS = 60_000
/** Of one process, while and after all of them hold back: their windows, and what a runtime keeps. */
const MAX_GROWTH_BYTES = 400 * MIB

/** Memory of each process of the cluster. */
function memoryOf(cluster: TestCluster): Map<number, number> {
  return new Map(
    cluster.processes().map((pid) => {
      const kb = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
      return [pid, Number(kb) * 1024] as const
    }),
  )
}

/** No process has grown by more than the limit since. */
function bounded(t: Test, cluster: TestCluster, before: ReadonlyMap<number, number>, what: string): void {
  const now = memoryOf(cluster)
  const grown = [...before].map(([pid, bytes]) => Math.round(((now.get(pid) ?? bytes) - bytes) / MIB))
  t.comment(`${what}: growth in MiB: ${grown.join(', ')}`)
  t.ok(Math.max(...grown) * MIB < MAX_GROWTH_BYTES, `${what}: no process collects what is not taken`)
}

/** A client that sends and does not read. */
class DeafClient {
  readonly socket: Socket
  #sent = 0

  private constructor(socket: Socket) {
    this.socket = socket
  }

  static async open(port: number): Promise<DeafClient> {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined) // cut off at the end
    await once(socket, 'connect')
    socket.write(encodeStartup({ user: 'postgres', database: 'postgres' }))
    // ReadyForQuery is the last message of the greeting.
    for (let last = ''; last !== 'ZI';) {
      const [chunk] = (await once(socket, 'data')) as [Buffer]
      last =
        chunk.length < 6
          ? ''
          : `${chunk.toString('latin1', chunk.length - 6, chunk.length - 5)}${chunk.toString('latin1', chunk.length - 1)}`
    }
    socket.pause()
    return new DeafClient(socket)
  }

  /** Sends as many statements as are taken, up to a number. */
  send(sql: string, statements: number): void {
    const bytes = encodeQuery(sql)
    for (; this.#sent < statements; this.#sent++) this.socket.write(bytes)
  }

  /** Reads everything that comes, and counts the answers. */
  answers(statements: number, limitMs = 300_000): Promise<void> {
    let ready = 0
    let tail = Buffer.alloc(0)
    const readyForQuery = Buffer.from([0x5a, 0, 0, 0, 5, 0x49])
    this.socket.on('data', (chunk: Buffer) => {
      const all = Buffer.concat([tail, chunk])
      let at = 0
      for (let found = all.indexOf(readyForQuery); found >= 0; found = all.indexOf(readyForQuery, at)) {
        ready++
        at = found + readyForQuery.length
      }
      tail = all.subarray(Math.max(at, all.length - readyForQuery.length + 1))
    })
    this.socket.resume()
    return waitFor(`${statements} answers`, () => ready >= statements, limitMs).then(() => undefined)
  }
}

t.test('whoever does not read makes others wait for him only', async (t) => {
  const cluster = await TestCluster.start({ segments: 2, standby: false })
  t.teardown(() => cluster.close())
  const { port } = cluster.instance(1)
  await cluster.query('CREATE TABLE wide (id bigint, pad text) DISTRIBUTED BY (id)')
  await cluster.query(
    `INSERT INTO wide SELECT i, repeat(md5(i::text), 32) FROM generate_series(1, ${ROWS}) i`,
  )
  await cluster.query('CREATE TABLE small (id bigint) DISTRIBUTED BY (id)')
  await cluster.waitForCatalog('all pairs in sync', inSync)
  await cluster.query('SELECT count(*) FROM wide')

  await t.test(`${CLIENTS} clients send ${STATEMENTS} statements each and read nothing`, async (t) => {
    const before = memoryOf(cluster)
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => DeafClient.open(port)))
    for (const client of clients)
      client.send(`SELECT '${'x'.repeat(1_000)}', repeat('y', 500000)`, STATEMENTS)
    // Others come in and are served all the time, more often than there are deaf ones.
    for (let i = 0; i < 2 * CLIENTS; i++) await cluster.query(`INSERT INTO small VALUES (${i})`)
    bounded(t, cluster, before, 'while nobody reads')
    const [first, ...rest] = clients as [DeafClient, ...DeafClient[]]
    for (const { socket } of rest) socket.destroy()
    await first.answers(STATEMENTS)
    t.pass('one that begins to read gets all of its answers')
    first.socket.destroy()
    await cluster.query('SELECT count(*) FROM small')
    bounded(t, cluster, before, 'afterwards')
  })

  await t.test(
    'a client asks for much and never reads: it is cut off, and who waited for it goes on',
    async (t) => {
      const early = await cluster.connect()
      const before = memoryOf(cluster)
      const client = await DeafClient.open(port)
      client.send(`SELECT a.pad FROM wide a, generate_series(1, 60000) WHERE a.id = 1`, 1)
      // It has its answer under way when the first of it is there.
      await once(client.socket.resume(), 'data')
      client.socket.pause()
      const askedAt = performance.now()
      const took = (): number => Math.round(performance.now() - askedAt)
      const waits = await Promise.all([
        cluster.connect(WRITE_TIMEOUT_MS + 30_000).then(async (late) => {
          const ms = took()
          await late.end()
          return ms
        }),
        early.query('SELECT count(*) FROM wide').then(took),
      ])
      t.comment(`a new connection waited for ${waits[0]} ms, a statement for ${waits[1]} ms`)
      bounded(t, cluster, before, 'while it does not read')
      t.ok(Math.max(...waits) < WRITE_TIMEOUT_MS + 30_000, 'nobody waits for longer than until it is cut off')
      await early.end()
      client.socket.resume()
      await waitFor('the end of the connection', () => client.socket.closed)
      bounded(t, cluster, before, 'afterwards')
    },
  )

  await t.test('a mirror that is stopped does not make its primary collect WAL', async (t) => {
    const mirror = await cluster.mirrorOf(0)
    const pid = (await cluster.pids()).get(mirror.dbid) as number
    const before = memoryOf(cluster)
    process.kill(pid, 'SIGSTOP')
    try {
      await cluster.query(
        `INSERT INTO wide SELECT i, repeat(md5(i::text), 32) FROM generate_series(1001, 60000) i`,
      )
      await cluster.waitForCatalog('the mirror down', (rows) =>
        rows.some(({ dbid, status }) => dbid === mirror.dbid && status === 'd'),
      )
      bounded(t, cluster, before, 'without the mirror')
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await cluster.heal()
    t.match(await cluster.query('SELECT count(*)::int AS n FROM wide'), [{ n: ROWS + 59_000 }])
  })
})
