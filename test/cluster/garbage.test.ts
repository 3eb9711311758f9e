// Garbage to every port of every process: each connection is closed with a log line, no process dies, no memory is held. And what the cluster leaves on
// the disk and in the process list is nobody else's.
import t from 'tap'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { filesWith, Load, LogWatch, openToOthers, TestCluster, waitFor } from '@mirabelle/testkit/cluster'

const MIB = 1024 * 1024
/** Random bytes, connections that promise 64 MiB each, and so on: how much bigger a process may be afterwards. */
const MAX_GROWTH_BYTES = 64 * MIB
/** What a process logs about a connection that it ended. */
const CLOSED = /closed before its proof|connection was refused|connection closed: |connection is closed: /
const CLOSED_WITHIN_MS = 30_000

interface Door {
  readonly name: string
  readonly port: number
  readonly kind: 'internal' | 'sql'
  /** Of the standby coordinator. */
  readonly standby: boolean
  readonly logs: readonly string[]
}

// A busy machine starts a cluster slowly; the limits of the single waits are much lower.
t.setTimeout(300_000)
// Whatever the user's own habit is, what a cluster makes is private.
process.umask(0)

t.test('garbage closes its own connection and nothing else', async (t) => {
  const cluster = await TestCluster.start({ segments: 2 })
  t.teardown(() => cluster.close())
  const load = await Load.start(cluster, { count: 4 })
  t.teardown(() => load.stop())
  await load.acks(50)
  const doors = doorsOf(cluster)
  t.equal(doors.length, 3 + 6 + 2, 'agents, instances, front doors of coordinator and standby')
  const pids = await cluster.pids()
  const processes = cluster.processes().sort()
  const before = await memoryOf(processes)

  const throwAtDoor = (door: Door): Promise<unknown> =>
    t.test(door.name, { buffered: true }, async (t) => {
      const log = await LogWatch.of(...door.logs)
      const sent = door.kind === 'internal' ? internalGarbage() : sqlGarbage()
      const ends = await Promise.all(sent.map(({ name, bytes, end }) => throwAt(door.port, name, bytes, end)))
      t.same(
        ends.filter(({ closed }) => !closed),
        [],
        `all ${ends.length} connections are closed`,
      )
      // A front door does not log clients that go away by themselves.
      // One of a standby lets nobody in, so it does not get to read what comes after a startup.
      const logged = sent.filter(
        ({ end, inside }) => door.kind === 'internal' || (!end && !(inside === true && door.standby)),
      ).length
      await waitFor(
        `${logged} log lines of ${door.name}`,
        async () => (await log.matching(CLOSED)).length >= logged,
      )
      if (door.kind === 'internal') {
        await t.rejects(
          cluster.dial({ addresses: ['127.0.0.1'], port: door.port }, {}, randomBytes(32)),
          { code: 'handshake.failed' },
          'a peer with another key is refused',
        )
        await t.rejects(
          cluster.dial({ addresses: ['127.0.0.1'], port: door.port }, { clusterId: 'another' }),
          { code: 'cluster.foreign' },
          'a peer of another cluster is refused',
        )
        await t.resolves(
          misbehave(cluster, door.port),
          'a proven peer that sends what is no message is cut off',
        )
        await waitFor('log lines of all three', async () => (await log.matching(CLOSED)).length >= logged + 3)
      }
    })
  // A peer that says nothing may do so for ten seconds: the doors of the cluster are waited for together. A front door shares its log with one of them.
  t.jobs = doors.length
  await Promise.all(doors.filter(({ kind }) => kind === 'internal').map(throwAtDoor))
  for (const door of doors.filter(({ kind }) => kind === 'sql')) await throwAtDoor(door)

  await t.test('many connections that promise much hold nothing', async (t) => {
    const header = Buffer.alloc(4)
    header.writeUInt32BE(64 * MIB)
    const ends = await Promise.all(
      doors.flatMap(({ port }) =>
        Array.from({ length: 40 }, () =>
          throwAt(port, 'promise', Buffer.concat([header, randomBytes(3000)]), false),
        ),
      ),
    )
    t.ok(ends.every(({ closed }) => closed))
  })

  await t.test('secrets are in no log, no process list and no file; files are private', async (t) => {
    const words = ['hidden word of a role', 'hidden word of a mistake', 'hidden word of a statement']
    const client = await cluster.connect()
    await client.query(`CREATE ROLE holder LOGIN PASSWORD '${words[0]}'`)
    await client.query(`ALTER ROLE holder PASSWORD '${words[0]}'`)
    for (const sql of [
      `CREATE ROLE holder PASSWORD '${words[1]}'`,
      `ALTER ROLE nobody PASSWORD '${words[1]}'`,
      `SELECT '${words[2]}'::int`,
      `SELECT nothing('${words[2]}')`,
      `SYNTAX '${words[2]}'`,
    ])
      await t.rejects(client.query(sql))
    await client.end()
    const key = await readFile(`${cluster.dir}/cluster.key`)
    const secrets = [
      ...words.map((word) => Buffer.from(word)),
      Buffer.from(key.toString('hex')),
      Buffer.from(key.toString('base64')),
    ]
    t.same(await filesWith(cluster.dir, secrets), [])
    t.same(
      (await filesWith(cluster.dir, [key])).map((line) => line.split(' holds ')[0]),
      [`${cluster.dir}/cluster.key`],
      'the key is where it should be, and nowhere else',
    )
    for (const pid of processes)
      for (const name of ['cmdline', 'environ']) {
        const text = await readFile(`/proc/${pid}/${name}`)
        t.notOk(
          secrets.some((secret) => text.includes(secret)),
          `${name} of ${pid}`,
        )
      }
    const state = JSON.stringify(await cluster.cluster.state())
    t.notOk(secrets.some((secret) => state.includes(secret.toString())))
    t.same(await openToOthers(cluster.dir), [])
  })

  t.same(cluster.processes().sort(), processes, 'the same processes run')
  t.same(await cluster.pids(), pids)
  const ackedAt = await load.acks(50)
  for (const one of [0, 1]) await load.acksOn(one, ackedAt)
  await load.stop()
  t.equal(load.ledger.count('acked'), load.ledger.units.length, 'no client noticed anything')
  const after = await memoryOf(processes)
  const growth = processes.map((pid) => (after.get(pid) as number) - (before.get(pid) as number))
  t.comment(`growth of the processes in MiB: ${growth.map((bytes) => Math.round(bytes / MIB)).join(', ')}`)
  t.ok(Math.max(...growth) < MAX_GROWTH_BYTES, 'no process holds on to what it was sent')
})

function doorsOf(cluster: TestCluster): Door[] {
  const agents = cluster.facts.hosts.map(({ name, agentPort, dir }): Door => {
    return {
      name: `agent of ${name}`,
      port: agentPort,
      kind: 'internal',
      standby: false,
      logs: [`${dir}/agent.log`],
    }
  })
  const instances = cluster.facts.rows.flatMap((row): Door[] => {
    const logs = cluster.logsOf(row.dbid)
    const standby = row.content === -1 && row.role === 'm'
    const name = `dbid ${row.dbid}, content ${row.content}, role ${row.role}`
    const internal: Door = { name, port: row.endpoint.port, kind: 'internal', standby, logs }
    return row.content >= 0
      ? [internal]
      : [internal, { name: `front door of ${name}`, port: row.port, kind: 'sql', standby, logs }]
  })
  return [...agents, ...instances]
}

interface Garbage {
  readonly name: string
  readonly bytes: Buffer
  /** Hang up after sending; otherwise the other side must. */
  readonly end: boolean
  /** Begins with a right startup. */
  readonly inside?: boolean
}

function length(value: number, rest: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(value)
  return Buffer.concat([head, rest])
}

function internalGarbage(): Garbage[] {
  return [
    { name: '1 MiB of random bytes', bytes: randomBytes(MIB), end: false },
    {
      name: 'random bytes after the first byte of TLS',
      bytes: Buffer.concat([Buffer.from([0x16]), randomBytes(MIB)]),
      end: false,
    },
    { name: 'a length of zero', bytes: length(0), end: false },
    { name: 'the largest length', bytes: length(0xffff_ffff, randomBytes(100)), end: false },
    {
      name: 'a length just over the limit of frames',
      bytes: length(64 * MIB + 1, randomBytes(100)),
      end: false,
    },
    { name: 'half a frame, then silence', bytes: length(1000, randomBytes(500)), end: false },
    { name: 'half a frame, then the end', bytes: length(1000, randomBytes(500)), end: true },
    { name: 'a frame that is no msgpack', bytes: length(1000, randomBytes(1000)), end: false },
    { name: 'half a length, then the end', bytes: Buffer.from([0, 0]), end: true },
    { name: 'HTTP', bytes: Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), end: false },
  ]
}

function sqlGarbage(): Garbage[] {
  const startup = (parameters: string) => {
    const body = Buffer.concat([length(196_608), Buffer.from(parameters)])
    return length(4 + body.length, body)
  }
  const good = startup('user\0postgres\0database\0postgres\0\0')
  return [
    {
      name: '1 MiB of random bytes',
      bytes: Buffer.concat([Buffer.from([0xff]), randomBytes(MIB)]),
      end: false,
    },
    { name: 'a startup of zero bytes', bytes: length(0), end: false },
    { name: 'the largest startup', bytes: length(0x7fff_ffff, randomBytes(100)), end: false },
    { name: 'half a startup, then the end', bytes: good.subarray(0, 10), end: true },
    { name: 'a startup without an end', bytes: startup('user'), end: false },
    { name: 'an unknown protocol', bytes: length(8, length(0x0063_0000)), end: false },
    {
      name: 'an unknown message after the startup',
      bytes: Buffer.concat([good, Buffer.from('\0'), length(4)]),
      end: false,
      inside: true,
    },
    {
      name: 'a message too short to be one',
      bytes: Buffer.concat([good, Buffer.from('Q'), length(1)]),
      end: false,
      inside: true,
    },
    {
      name: 'a message too long to be one',
      bytes: Buffer.concat([good, Buffer.from('Q'), length(0x7fff_ffff), randomBytes(100)]),
      end: false,
      inside: true,
    },
    {
      name: 'random bytes after the startup',
      bytes: Buffer.concat([good, Buffer.from([1]), randomBytes(MIB)]),
      end: false,
      inside: true,
    },
    {
      name: 'half a query, then the end',
      bytes: Buffer.concat([good, Buffer.from('Q'), length(1000), randomBytes(10)]),
      end: true,
      inside: true,
    },
  ]
}

/** Proves itself and then sends a message that does not exist; resolves when the connection has been closed for it. */
async function misbehave(cluster: TestCluster, port: number): Promise<void> {
  const connection = await cluster.dial({ addresses: ['127.0.0.1'], port })
  connection.setHandlers({ onMessage: () => undefined, onClose: () => undefined })
  connection.send({ type: 'no.such.message', rows: [1, 2, 3] } as never)
  await waitFor('the end of the connection', () => connection.closed, 10_000)
}

/** Sends the bytes; resolves with whether the other side ended the connection. */
function throwAt(
  port: number,
  name: string,
  bytes: Buffer,
  end: boolean,
): Promise<{ name: string; closed: boolean }> {
  return new Promise((resolve) => {
    const socket: Socket = connect({ host: '127.0.0.1', port }, () => {
      socket.write(bytes)
      if (end) socket.end()
    })
    const timer = setTimeout(() => {
      resolve({ name, closed: false })
      socket.destroy()
    }, CLOSED_WITHIN_MS)
    socket.resume()
    socket.on('error', () => undefined) // a reset is an end, too
    socket.once('close', () => {
      clearTimeout(timer)
      resolve({ name, closed: true })
    })
  })
}

/** Resident memory of processes, bytes. */
async function memoryOf(pids: readonly number[]): Promise<Map<number, number>> {
  const found = new Map<number, number>()
  for (const pid of pids) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    found.set(pid, Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024)
  }
  return found
}
