// What happens between a client and its session: order, batches, back-pressure both ways, and the end.
import { once } from 'node:events'
import t from 'tap'
import {
  encodeBind,
  encodeDescribe,
  encodeExecute,
  encodeParse,
  encodeQuery,
  errorResponse,
  rowsOf,
  SYNC,
} from '@mirabelle/pgwire'
import { ManualClock } from './support/manual-clock.ts'
import { errorOf, RawClient, types } from './support/raw-client.ts'
import { toyDoor, type ToySession } from './support/toy-session.ts'

const extended = (value: string): Buffer =>
  Buffer.concat([
    encodeParse({ query: 'select $1' }),
    encodeBind({ parameters: [value] }),
    encodeDescribe({ kind: 'P', name: '' }),
    encodeExecute(),
    SYNC,
  ])

t.test('pipelined statements are answered in order, slow and fast ones mixed', async (t) => {
  const { door, sessions } = await toyDoor()
  t.teardown(() => door.close())
  const { client } = await RawClient.login(door)
  const texts = Array.from({ length: 300 }, (_, index) =>
    index % 3 === 0 ? `slow ${index}` : `fast ${index}`,
  )
  client.write(...texts.map((text, index) => (index % 5 === 0 ? extended(text) : encodeQuery(text))))
  const got: (string | null | undefined)[] = []
  while (got.length < texts.length) {
    const answers = await client.until('Z')
    got.push(rowsOf(Buffer.concat(answers.map((answer) => answer.bytes)))[0]?.[0])
  }
  t.same(got, texts)
  t.equal(sessions[0]!.handled.length, 240 + 60 * 5)
  client.socket.destroy()
})

t.test('an extended batch is handled in one turn and answered in one write', async (t) => {
  const { door, sessions, events } = await toyDoor()
  t.teardown(() => door.close())
  const { client } = await RawClient.login(door)
  let turns = 0
  let lastTurn = -1
  let now = 0
  const tick = setInterval(() => undefined, 1_000)
  events.on('handled', () => {
    if (lastTurn !== now) turns += 1
    lastTurn = now
    setImmediate(() => (now += 1))
  })
  let chunks = 0
  client.socket.on('data', () => (chunks += 1))
  client.write(extended('a'))
  t.equal(types(await client.until('Z')), '12TDCZ')
  clearInterval(tick)
  t.equal(turns, 1)
  t.equal(chunks, 1)
  t.equal(sessions[0]!.handled.join(''), 'PBDES')
  client.socket.destroy()
})

t.test(
  'a client that does not read the rows of one statement holds no more than the high-water mark',
  async (t) => {
    const { door, sessions, events } = await toyDoor()
    t.teardown(() => door.close())
    const { client } = await RawClient.login(door)
    client.socket.pause()
    const behind = once(events, 'behind')
    client.write(encodeQuery('big 1600'))
    await behind
    t.ok(sessions[0]!.maxBuffered < 1024 * 1024 + 70_000, `${sessions[0]!.maxBuffered} bytes were buffered`)
    client.socket.resume()
    const answers = await client.until('Z')
    t.equal(answers.length, 1600 + 3, 'every row of the 100 MB arrives once the client reads')
    t.ok(sessions[0]!.maxBuffered < 1024 * 1024 + 70_000, `${sessions[0]!.maxBuffered} bytes were buffered`)
    client.socket.destroy()
  },
)

t.test(
  'a client that pipelines but does not read is not served further, and its input waits in the socket',
  async (t) => {
    const { door, sessions } = await toyDoor()
    t.teardown(() => door.close())
    const { client } = await RawClient.login(door)
    client.socket.pause()
    const count = 20_000
    const text = 'x'.repeat(2_000)
    const query = encodeQuery(text)
    const batch = Buffer.concat(Array.from({ length: 100 }, () => query))
    for (let sent = 0; sent < count; sent += 100) client.write(batch)
    // The server has stopped when the client cannot get rid of its bytes: wait until nothing moves for some turns.
    const session = sessions[0]!
    for (let before = -1, still = 0; still < 20;) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      still = session.handled.length === before && before > 0 ? still + 1 : 0
      before = session.handled.length
    }
    t.ok(session.handled.length < count, `${session.handled.length} of ${count} were handled`)
    t.ok(
      session.connection.bufferedBytes < 1024 * 1024 + 10_000,
      `${session.connection.bufferedBytes} bytes wait`,
    )
    client.socket.resume()
    for (let got = 0; got < count; got += 1) await client.until('Z')
    t.equal(session.handled.length, count, 'all are answered once the client reads')
    client.socket.destroy()
  },
)

t.test('input that runs ahead of a busy session is bounded', async (t) => {
  const { door, sessions, events } = await toyDoor({ limits: { maxQueuedBytes: 100_000 } })
  t.teardown(() => door.close())
  const { client } = await RawClient.login(door)
  const waiting = once(events, 'waiting')
  client.write(encodeQuery('wait'))
  await waiting
  const huge = encodeQuery('y'.repeat(1_000_000))
  for (let sent = 0; sent < 30; sent += 1) client.write(huge)
  for (let before = -1; client.socket.writableLength !== before;) {
    before = client.socket.writableLength
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  t.ok(
    client.socket.writableLength > 10_000_000,
    'the kernel and the client hold what the server does not read',
  )
  t.equal(door.cancel(sessions[0]!.connection.pid), true)
  await client.until('Z')
  for (let got = 0; got < 30; got += 1) await client.until('Z')
  client.socket.destroy()
})

t.test('a client that reads nothing for client_write_timeout is cut off', async (t) => {
  const clock = new ManualClock()
  const { door, sessions, events, logger } = await toyDoor({ clock })
  t.teardown(() => door.close())
  const { client } = await RawClient.login(door)
  client.socket.pause()
  client.write(encodeQuery('big 1000'))
  await once(events, 'behind')
  const session = sessions[0]!
  // As long as something is being written the watch goes on; it bites when a whole period passes without a write.
  for (let turn = 0; session.closedBy === undefined && turn < 200; turn += 1) {
    clock.fire(60_000)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  t.equal(session.closedBy, 'fatal')
  t.match(logger.above('info').at(-1), { fields: { code: '08006' }, message: /read nothing for 60000 ms/ })
  client.socket.resume()
  await client.closed
})

t.test('a client that goes away ends its session, whatever it was doing', async (t) => {
  const { door, sessions, events } = await toyDoor()
  t.teardown(() => door.close())
  const doing: [string, (client: RawClient) => Promise<unknown>][] = [
    ['nothing', async () => undefined],
    [
      'a COPY',
      async (client) => {
        client.write(encodeQuery('copy t from stdin'))
        await client.until('G')
        client.write(Buffer.from('d\0\0\0\x08row\n', 'latin1'))
      },
    ],
    [
      'a statement that waits',
      (client) => {
        const waiting = once(events, 'waiting')
        client.write(encodeQuery('wait'))
        return waiting
      },
    ],
    ['half a message', async (client) => client.write(encodeQuery('abc').subarray(0, 6))],
  ]
  for (const [name, start] of doing) {
    for (const leave of ['end', 'destroy', 'resetAndDestroy'] as const) {
      const { client } = await RawClient.login(door)
      const session = sessions.at(-1)!
      await start(client)
      client.socket[leave]()
      t.equal(await session.whenClosed(), 'disconnect', `${name}, ${leave}`)
      await client.closed
      t.equal(session.closeCalls, 1)
      t.equal(session.connection.closed, true)
    }
  }
})

t.test('a session that fails takes only its own connection down', async (t) => {
  const { door, sessions, logger } = await toyDoor()
  t.teardown(() => door.close())
  const { client: other } = await RawClient.login(door)
  for (const text of ['throw', 'reject']) {
    const { client } = await RawClient.login(door)
    client.write(encodeQuery(text))
    const error = await client.goodbye()
    t.match(error, { severity: 'FATAL', code: 'XX000' })
    t.notMatch(error!.message, /planted/, 'what is inside does not leak')
    t.equal(sessions.at(-1)!.closedBy, 'fatal')
    t.match(logger.above('info').at(-1), { level: 'error', fields: { err: /a planted bug/ } })
  }
  other.write(encodeQuery('alive'))
  t.equal(types(await other.until('Z')), 'TDCZ')
  other.socket.destroy()
})

t.test('parameters are reported when they change, and only then', async (t) => {
  const { door, events } = await toyDoor()
  t.teardown(() => door.close())
  const { client } = await RawClient.login(door)
  events.once('handled', ({ connection }: ToySession) => {
    connection.parameterStatus('client_encoding', 'UTF8')
    connection.parameterStatus('TimeZone', 'UTC')
    connection.parameterStatus('TimeZone', 'UTC')
    connection.notice({ code: '01000', message: 'careful', severity: 'WARNING' })
  })
  client.write(encodeQuery('x'))
  t.equal(types(await client.until('Z')), 'SNTDCZ')
  client.socket.destroy()
})

t.test('what is sent after the end goes nowhere, and nobody waits for it', async (t) => {
  const { door, sessions, events } = await toyDoor({ limits: { lingerMs: 3_600_000 } })
  t.teardown(() => door.close())
  const { client } = await RawClient.login(door)
  client.socket.pause()
  client.write(encodeQuery('big 1000'))
  await once(events, 'behind')
  const { connection } = sessions[0]!
  const drained = connection.drained()
  t.equal(door.terminate(connection.pid), true)
  await drained
  t.equal(connection.closed, true)
  connection.send(errorResponse({ code: 'XX000', message: 'too late' }))
  client.socket.resume()
  const error = (await client.rest()).filter((answer) => answer.type === 'E')
  t.equal(error.length, 1)
  t.match(errorOf(error[0]!), { severity: 'FATAL', code: '57P01' })
  t.equal(door.terminate(connection.pid), false, 'it is gone')
})
