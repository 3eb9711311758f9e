/** What every network port promises. Run for the real side here and for the simulated one in testkit. */
import type { Test } from 'tap'
import { isMirabelleError, MirabelleError } from '@mirabelle/messages'
import type { ErrorCode, Message } from '@mirabelle/messages'
import type { Clock, Connection, Hello, Listener, Network, Party, Responder } from '@mirabelle/runtime'

/** One host that talks to itself. */
export interface NetworkWorld {
  readonly network: Network
  /** The same host, but with another cluster key; undefined when the side has no keys. */
  readonly stranger: Network | undefined
  readonly clock: Clock
  /** An address that can be listened on. */
  readonly address: string
  /** Another one, where nobody ever listens. */
  readonly deadAddress: string
  /** Lets time pass until the promise settles. */
  until<T>(promise: Promise<T>): Promise<T>
  close(): Promise<void>
}

const CLUSTER = 'cluster-1'
const server: Party = { clusterId: CLUSTER, kind: 'instance', dbid: 2, content: 0, name: 'h1' }
const client: Hello = {
  clusterId: CLUSTER,
  kind: 'instance',
  dbid: 1,
  content: -1,
  name: 'h0',
  purpose: 'dispatch',
  epoch: 3,
}
const options = { timeoutMs: 2000, silenceTimeoutMs: 4000 }

interface Pair {
  readonly listener: Listener
  readonly client: Connection
  readonly server: Connection
  readonly hello: Hello
}

interface Recorded {
  readonly messages: Message[]
  readonly closed: Promise<MirabelleError>
  readonly closes: MirabelleError[]
  next(count: number): Promise<void>
}

/** Sets handlers that record. `answer` gets requests. */
function record(connection: Connection, answer?: (message: Message, respond: Responder) => void): Recorded {
  const messages: Message[] = []
  const closes: MirabelleError[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  let told!: (reason: MirabelleError) => void
  const closed = new Promise<MirabelleError>((resolve) => (told = resolve))
  connection.setHandlers({
    onMessage(message, respond) {
      if (respond !== undefined && answer !== undefined) answer(message, respond)
      else messages.push(message)
      for (const one of waiting) if (messages.length >= one.count) one.resolve()
    },
    onClose(reason) {
      closes.push(reason)
      told(reason)
    },
  })
  const next = (count: number): Promise<void> =>
    messages.length >= count
      ? Promise.resolve()
      : new Promise((resolve) => {
          waiting.push({ count, resolve })
        })
  return { messages, closed, closes, next }
}

async function codeOf(promise: Promise<unknown>): Promise<ErrorCode | 'resolved' | 'untyped'> {
  try {
    await promise
    return 'resolved'
  } catch (error) {
    return isMirabelleError(error) ? error.code : 'untyped'
  }
}

/** Registers the suite. `make` gives a fresh world for each test. */
export function networkSuite(t: Test, make: () => Promise<NetworkWorld>): void {
  const test = (name: string, run: (t: Test, world: NetworkWorld) => Promise<void>): void => {
    void t.test(name, async (t) => {
      const world = await make()
      t.teardown(() => world.close())
      await run(t, world)
    })
  }
  const pairOf = async (
    t: Test,
    world: NetworkWorld,
    asServer = (_: Connection): void => {},
  ): Promise<Pair> => {
    let accepted!: (got: { server: Connection; hello: Hello }) => void
    const accepting = new Promise<{ server: Connection; hello: Hello }>((resolve) => (accepted = resolve))
    const endpoint = { addresses: [world.address], port: 0 }
    const listener = await world.until(
      world.network.listen(
        endpoint,
        () => server,
        (connection, hello) => {
          asServer(connection)
          accepted({ server: connection, hello })
        },
      ),
    )
    const to = { ...endpoint, port: listener.port }
    const connection = await world.until(world.network.connect(to, client, options))
    const got = await world.until(accepting)
    t.teardown(async () => {
      connection.close()
      got.server.close()
      await listener.close()
    })
    return { listener, client: connection, ...got }
  }

  test('both sides learn who the other is', async (t, world) => {
    const pair = await pairOf(t, world)
    t.same(pair.client.peer, server)
    t.same(pair.server.peer, client)
    t.same(pair.hello, client)
    t.equal(pair.client.remotePort, pair.listener.port)
    t.notOk(pair.client.closed)
  })

  test('a request gets its own answer, also when answers come in another order', async (t, world) => {
    const responders: { seq: string; respond: Responder }[] = []
    const pair = await pairOf(t, world)
    record(pair.server, (message, respond) => {
      if (message.type === 'copy.end') responders.push({ seq: message.copyId, respond })
      if (responders.length < 3) return
      for (const one of responders.reverse())
        one.respond.reply({ type: 'copy.ended', backupLabel: one.seq, endLsn: 1, timeline: 1, history: null })
    })
    const asked = ['a', 'b', 'c'].map((copyId) => pair.client.request({ type: 'copy.end', copyId }, 2000))
    const answers = await world.until(Promise.all(asked))
    t.same(
      answers.map((answer) => answer.backupLabel),
      ['a', 'b', 'c'],
    )
    t.same(Object.keys(answers[0] ?? {}).sort(), ['backupLabel', 'endLsn', 'history', 'timeline', 'type'])
  })

  test('either side can ask', async (t, world) => {
    const pair = await pairOf(t, world)
    record(pair.client, (_message, respond) => respond.reply({ type: 'ok' }))
    record(pair.server)
    t.same(await world.until(pair.server.request({ type: 'cluster.probe' }, 2000)), { type: 'ok' })
  })

  test('messages arrive whole and in the order they were sent', async (t, world) => {
    const pair = await pairOf(t, world)
    const at = record(pair.server)
    const sizes = [0, 1, 17, 4096, 16_384, 65_536, 1_048_576, 3]
    const sent = sizes.map((size, seq): Message => ({ type: 'query.output', seq, chunk: fill(size, seq) }))
    for (const message of sent) pair.client.send(message)
    await world.until(at.next(sizes.length))
    sent.forEach((message, i) => {
      const got = at.messages[i] as Message & { type: 'query.output' }
      t.equal(got.seq, i)
      t.ok(
        Buffer.from(got.chunk).equals((message as { chunk: Uint8Array } & Message).chunk),
        `${sizes[i]} bytes`,
      )
    })
  })

  test('a message arrives as it was, large numbers and null included', async (t, world) => {
    const pair = await pairOf(t, world)
    const at = record(pair.server)
    const message: Message = {
      type: 'dispatch.settledAre',
      floor: 2 ** 52 + 1,
      settled: [
        [1, 2 ** 40, null],
        [2, 2 ** 33 + 5, new Uint8Array([1, 2, 3])],
      ],
    }
    pair.client.send(message)
    await world.until(at.next(1))
    const got = at.messages[0] as typeof message
    t.equal(got.floor, message.floor)
    t.same(got.settled[0], message.settled[0])
    t.same([...(got.settled[1]?.[2] ?? [])], [1, 2, 3])
  })

  test('nothing is delivered within send(), and no end is told within close()', async (t, world) => {
    const pair = await pairOf(t, world)
    const atClient = record(pair.client)
    const atServer = record(pair.server)
    pair.client.send({ type: 'ok' })
    t.same(atServer.messages, [])
    pair.client.close()
    t.ok(pair.client.closed)
    t.same(atClient.closes, [])
    await world.until(Promise.all([atClient.closed, atServer.closed]))
    t.same(atServer.messages, [{ type: 'ok' }], 'what was queued before the close arrives')
  })

  test('messages wait for the handlers', async (t, world) => {
    const pair = await pairOf(t, world, (connection) => connection.send({ type: 'ok' }))
    t.equal(await codeOf(world.until(pair.client.request({ type: 'cluster.probe' }, 50))), 'timeout')
    const at = record(pair.client)
    await world.until(at.next(1))
    t.same(at.messages, [{ type: 'ok' }])
  })

  test('a refusal comes as the error that it was, with its detail', async (t, world) => {
    const pair = await pairOf(t, world)
    record(pair.server, (_message, respond) =>
      respond.fail(new MirabelleError('epoch.stale', 'epoch 3 is older than 4', { detail: { epoch: 4 } })),
    )
    const asked = pair.client.request({ type: 'cluster.probe' }, 2000)
    await t.rejects(world.until(asked), {
      code: 'epoch.stale',
      message: 'epoch 3 is older than 4',
      detail: { epoch: 4 },
    })
  })

  test('an unexpected failure comes as `internal`', async (t, world) => {
    const pair = await pairOf(t, world)
    record(pair.server, (_message, respond) => respond.fail(new TypeError('x is undefined')))
    t.equal(await codeOf(world.until(pair.client.request({ type: 'cluster.probe' }, 2000))), 'internal')
  })

  test('a request ends at its timeout; the late answer is dropped and the connection goes on', async (t, world) => {
    const held: Responder[] = []
    const pair = await pairOf(t, world)
    record(pair.server, (_message, respond) => {
      if (held.push(respond) > 1) for (const one of held) one.reply({ type: 'ok' })
    })
    const at = record(pair.client)
    const first = pair.client.request({ type: 'cluster.probe' }, 30)
    t.equal(await codeOf(world.until(first)), 'timeout')
    t.same(await world.until(pair.client.request({ type: 'cluster.probe' }, 2000)), { type: 'ok' })
    t.same(at.messages, [])
    t.notOk(pair.client.closed)
  })

  test('the end of a connection ends its requests, and is told once on both sides', async (t, world) => {
    const pair = await pairOf(t, world)
    const atServer = record(pair.server, () => pair.server.close())
    const atClient = record(pair.client)
    t.equal(
      await codeOf(world.until(pair.client.request({ type: 'cluster.probe' }, 2000))),
      'connection.lost',
    )
    await world.until(Promise.all([atServer.closed, atClient.closed]))
    pair.client.close()
    pair.server.close()
    t.equal(
      await codeOf(world.until(pair.client.request({ type: 'cluster.probe' }, 2000))),
      'connection.lost',
    )
    pair.client.send({ type: 'ok' })
    t.equal(atClient.closes.length, 1)
    t.equal(atServer.closes.length, 1)
  })

  test('the reason of a close is told to the peer', async (t, world) => {
    const pair = await pairOf(t, world)
    const atServer = record(pair.server)
    const atClient = record(pair.client)
    pair.client.close(new MirabelleError('epoch.stale', 'epoch 3 is older than 4'))
    t.equal((await world.until(atClient.closed)).code, 'epoch.stale')
    t.match(await world.until(atServer.closed), { code: 'epoch.stale', message: 'epoch 3 is older than 4' })
  })

  test('a handler that throws costs its connection only', async (t, world) => {
    const pair = await pairOf(t, world)
    pair.server.setHandlers({
      onMessage() {
        throw new Error('a mistake')
      },
      onClose() {},
    })
    const atClient = record(pair.client)
    pair.client.send({ type: 'ok' })
    t.equal((await world.until(atClient.closed)).code, 'internal')
    const to = { addresses: [world.address], port: pair.listener.port }
    const again = await world.until(world.network.connect(to, client, options))
    t.notOk(again.closed)
    again.close()
  })

  test('a listener can refuse a connection, and connect() says why', async (t, world) => {
    const listener = await world.until(
      world.network.listen(
        { addresses: [world.address], port: 0 },
        () => server,
        () => {
          throw new MirabelleError('wrong.content', 'this is content 0')
        },
      ),
    )
    t.teardown(() => listener.close())
    const to = { addresses: [world.address], port: listener.port }
    t.equal(await codeOf(world.until(world.network.connect(to, client, options))), 'wrong.content')
  })

  test('nobody listening is `connection.refused`', async (t, world) => {
    const pair = await pairOf(t, world)
    await world.until(pair.listener.close())
    const to = { addresses: [world.address], port: pair.listener.port }
    t.equal(await codeOf(world.until(world.network.connect(to, client, options))), 'connection.refused')
    t.notOk(pair.client.closed, 'a connection that was handed over stays')
    record(pair.server, (_message, respond) => respond.reply({ type: 'ok' }))
    t.same(await world.until(pair.client.request({ type: 'cluster.probe' }, 2000)), { type: 'ok' })
  })

  test('a port has one listener', async (t, world) => {
    const pair = await pairOf(t, world)
    const endpoint = { addresses: [world.address], port: pair.listener.port }
    const second = world.network.listen(
      endpoint,
      () => server,
      () => {},
    )
    t.equal(await codeOf(world.until(second)), 'listen.failed')
  })

  test('the addresses of an endpoint are tried until one answers', async (t, world) => {
    const pair = await pairOf(t, world)
    const to = { addresses: [world.deadAddress, world.address], port: pair.listener.port }
    const connection = await world.until(world.network.connect(to, client, options))
    t.equal(connection.remoteAddress, world.address)
    connection.close()
  })

  test('a peer of another cluster is turned away and told so', async (t, world) => {
    const pair = await pairOf(t, world)
    const to = { addresses: [world.address], port: pair.listener.port }
    const foreign = { ...client, clusterId: 'cluster-2' }
    t.equal(await codeOf(world.until(world.network.connect(to, foreign, options))), 'cluster.foreign')
  })

  test('a peer without the cluster key is turned away', async (t, world) => {
    if (world.stranger === undefined) return t.comment('this side has no keys')
    const pair = await pairOf(t, world)
    const to = { addresses: [world.address], port: pair.listener.port }
    t.equal(await codeOf(world.until(world.stranger.connect(to, client, options))), 'handshake.failed')
  })

  test('what is queued counts as buffered until it is taken, and drained() waits for that', async (t, world) => {
    const pair = await pairOf(t, world)
    const at = record(pair.server)
    const chunk = fill(8 * 1024 * 1024, 1)
    pair.client.send({ type: 'query.output', seq: 1, chunk })
    t.ok(pair.client.bufferedBytes >= chunk.length, `${pair.client.bufferedBytes} bytes are buffered`)
    await world.until(pair.client.drained())
    t.ok(pair.client.bufferedBytes < 1024 * 1024, 'below the low-water mark')
    await world.until(at.next(1))
    await world.until(pair.client.drained())
    pair.client.send({ type: 'query.output', seq: 2, chunk })
    const drained = pair.client.drained()
    pair.client.close()
    await world.until(drained)
    t.pass('drained() ends with the connection')
  })
}

function fill(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size)
  for (let i = 0; i < size; i += 1 + (i >> 7)) bytes[i] = (i * 31 + seed * 7) & 0xff
  return bytes
}
