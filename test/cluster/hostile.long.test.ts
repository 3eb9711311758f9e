// Somebody who means harm and can reach the ports: thousands of connections that say nothing or hardly anything, replayed handshakes, wrong keys, logins
// by the hundred. Nobody who is served notices; afterwards every process runs, with the memory, the file descriptors and the log that it should have.
import t, { type Test } from 'tap'
import { randomBytes } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import pg from 'pg'
import { Load, pause, TestCluster, waitFor } from '@mirabelle/testkit/cluster'

const MIB = 1024 * 1024
const IDLE = 1_500
const MAX_GROWTH_BYTES = 64 * MIB
/**
 * Longer than any of them may stay. What is open then was never accepted: when too many come at once the operating system drops the last step of a TCP
 * handshake, and a client that says nothing never learns that there is nobody. The first byte tells it.
 */
const NEVER_ACCEPTED_MS = 20_000
/** An instance keeps some connections more or less from one moment to the next. */
const MORE_DESCRIPTORS = 20
/** Of one log, for everything that is done here: a line for each connection would be some megabytes. */
const MAX_LOG_BYTES = 512 * 1024

t.setTimeout(1_800_000)

t.test(
  'floods, slow senders, replays and wrong keys end by themselves, and nobody else notices',
  async (t) => {
    const cluster = await TestCluster.start({ segments: 2 })
    t.teardown(() => cluster.close())
    await cluster.query("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    await cluster.query('ALTER SYSTEM SET authentication_timeout = 5')
    const load = await Load.start(cluster, { count: 4 })
    t.teardown(() => load.stop())
    await load.acks(50)
    const processes = cluster.processes().sort()
    const before = await measure(cluster, processes)

    for (const { name, port, sql } of doorsOf(cluster)) {
      await t.test(
        `${name}: ${IDLE} connections that say nothing, and some that say a byte now and then`,
        async (t) => {
          const idle = await Promise.all(Array.from({ length: IDLE }, () => open(port)))
          const slow = await Promise.all(Array.from({ length: 40 }, () => open(port)))
          const trickle = setInterval(() => {
            for (const socket of slow) if (!socket.destroyed) socket.write(Buffer.from([0]))
          }, 100)
          try {
            await served(t, cluster, port, sql)
            const beganAt = performance.now()
            await waitFor(
              'the end of all of them',
              () => {
                const open = [...idle, ...slow].filter(({ closed }) => !closed)
                if (performance.now() - beganAt > NEVER_ACCEPTED_MS)
                  for (const socket of open) if (!socket.destroyed) socket.write(Buffer.from([0]))
                return open.length === 0
              },
              60_000,
            )
          } finally {
            clearInterval(trickle)
            for (const socket of [...idle, ...slow]) socket.destroy()
          }
          await served(t, cluster, port, sql)
        },
      )
      if (!sql)
        await t.test(`${name}: a handshake replayed, and other keys`, async (t) => {
          const recorded = await record(cluster, port)
          await Promise.all(Array.from({ length: 300 }, () => throwAt(port, recorded)))
          for (let turn = 0; turn < 5; turn++)
            await Promise.all(
              Array.from({ length: 40 }, () =>
                t.rejects(cluster.dial({ addresses: ['127.0.0.1'], port }, {}, randomBytes(32))),
              ),
            )
          await served(t, cluster, port, sql)
        })
    }

    await t.test('wrong passwords by the hundred', async (t) => {
      await cluster.query('ALTER SYSTEM SET loopback_trust = off')
      const { port } = cluster.instance(1)
      for (let turn = 0; turn < 10; turn++)
        await Promise.all(
          Array.from({ length: 30 }, async (_, i) => {
            const user = i % 2 === 0 ? 'guest' : `nobody${i}`
            const client = new pg.Client({
              host: '127.0.0.1',
              port,
              user,
              password: 'wrong',
              database: 'postgres',
            })
            client.on('error', () => undefined)
            await t.rejects(client.connect(), { code: '28P01' })
          }),
        )
      const client = new pg.Client({
        host: '127.0.0.1',
        port,
        user: 'guest',
        password: 'guest',
        database: 'postgres',
      })
      await client.connect()
      await client.end()
      await cluster.query('ALTER SYSTEM SET loopback_trust = on')
    })

    await t.test('clients take every session there is: an administrator still gets in', async (t) => {
      const clients: pg.Client[] = []
      const { port } = cluster.instance(1)
      try {
        for (;;) {
          const client = new pg.Client({ host: '127.0.0.1', port, user: 'guest', database: 'postgres' })
          client.on('error', () => undefined)
          try {
            await client.connect()
            clients.push(client)
          } catch (error) {
            t.match(error, { code: '53300' })
            break
          }
        }
        t.ok(clients.length > 150, `${clients.length} sessions`)
        const admin = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
        await admin.connect()
        t.match((await admin.query('SELECT 1 AS one')).rows, [{ one: 1 }])
        await admin.end()
      } finally {
        await Promise.all(clients.map((client) => client.end()))
      }
    })

    t.same(cluster.processes().sort(), processes, 'the same processes run')
    const ackedAt = await load.acks(50)
    for (const one of [0, 1]) await load.acksOn(one, ackedAt)
    await load.stop()
    t.equal(load.ledger.count('acked'), load.ledger.units.length, 'no client noticed anything')
    await pause(5_000)
    const after = await measure(cluster, processes)
    const grown = processes.map((pid) => after.memory.get(pid)! - before.memory.get(pid)!)
    t.comment(`growth in MiB: ${grown.map((bytes) => Math.round(bytes / MIB)).join(', ')}`)
    t.ok(Math.max(...grown) < MAX_GROWTH_BYTES, 'no process holds on to what it was sent')
    for (const pid of processes) {
      const [was, is] = [before.descriptors.get(pid)!, after.descriptors.get(pid)!]
      t.ok(is <= was + MORE_DESCRIPTORS, `file descriptors of ${pid}: ${was} before, ${is} after`)
    }
    for (const [log, was] of before.logs) {
      const bytes = after.logs.get(log)! - was
      t.ok(bytes < MAX_LOG_BYTES, `${log} has grown by ${bytes} bytes`)
    }
  },
)

interface Door {
  readonly name: string
  readonly port: number
  /** Speaks PostgreSQL's protocol; else the cluster's. */
  readonly sql: boolean
}

function doorsOf(cluster: TestCluster): Door[] {
  const agents = cluster.facts.hosts.map(({ name, agentPort }) => ({
    name: `agent of ${name}`,
    port: agentPort,
    sql: false,
  }))
  return [
    ...agents,
    ...cluster.facts.rows.flatMap(({ dbid, content, endpoint, port }) => [
      { name: `dbid ${dbid}`, port: endpoint.port, sql: false },
      ...(content === -1 ? [{ name: `front door of dbid ${dbid}`, port, sql: true }] : []),
    ]),
  ]
}

/** Whoever may come in still does: a client, or a peer with the key. */
async function served(t: Test, cluster: TestCluster, port: number, sql: boolean): Promise<void> {
  if (sql) {
    // The standby says that it is in recovery: an answer, too.
    const answered = await waitFor(`an answer of port ${port}`, () => login(port), 20_000)
    t.match(answered, /^(in|57P03)$/)
    return
  }
  const connection = await waitFor(
    `a connection to port ${port}`,
    () => cluster.dial({ addresses: ['127.0.0.1'], port }).catch(() => undefined),
    20_000,
  )
  connection.setHandlers({ onMessage: () => undefined, onClose: () => undefined })
  t.notOk(connection.closed)
  connection.close()
}

async function login(port: number): Promise<string | undefined> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('SELECT 1')
    return 'in'
  } catch (error) {
    return (error as { code?: string }).code === '57P03' ? '57P03' : undefined
  } finally {
    await client.end()
  }
}

function open(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port })
  socket.on('error', () => undefined) // a reset is an end, too
  socket.resume()
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(socket))
    socket.once('close', () => resolve(socket))
  })
}

async function throwAt(port: number, bytes: Buffer): Promise<void> {
  const socket = await open(port)
  socket.write(bytes)
  await new Promise<void>((resolve) => {
    if (socket.closed) resolve()
    else socket.once('close', () => resolve())
  })
}

/** What an opener with the right key says, taken down on its way. */
async function record(cluster: TestCluster, port: number): Promise<Buffer> {
  const taken: Buffer[] = []
  const proxy = createServer((socket) => {
    const upstream = connect({ host: '127.0.0.1', port })
    socket.on('data', (chunk) => {
      taken.push(chunk)
      upstream.write(chunk)
    })
    upstream.pipe(socket)
    for (const one of [socket, upstream]) one.on('error', () => undefined)
    socket.on('close', () => upstream.destroy())
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const connection = await cluster.dial({
    addresses: ['127.0.0.1'],
    port: (proxy.address() as AddressInfo).port,
  })
  connection.close()
  proxy.close()
  return Buffer.concat(taken)
}

interface Measured {
  readonly memory: ReadonlyMap<number, number>
  readonly descriptors: ReadonlyMap<number, number>
  readonly logs: ReadonlyMap<string, number>
}

async function measure(cluster: TestCluster, pids: readonly number[]): Promise<Measured> {
  const memory = new Map<number, number>()
  const descriptors = new Map<number, number>()
  for (const pid of pids) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    memory.set(pid, Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024)
    descriptors.set(pid, (await readdir(`/proc/${pid}/fd`)).length)
  }
  const logs = new Map<string, number>()
  for (const log of [
    ...cluster.logsOfAgents(),
    ...cluster.facts.rows.flatMap(({ dbid }) => cluster.logsOf(dbid)),
  ])
    logs.set(log, (await stat(log)).size)
  return { memory, descriptors, logs }
}
