/** What only the real network can suffer: strangers on its port, silence, half frames. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { MirabelleError } from '@mirabelle/messages'
import { deriveKeys } from '../src/net/handshake-keys.ts'
import { OpenerHandshake, PROTOCOL_VERSION } from '../src/net/handshake.ts'
import { realNetwork } from '../src/net/real-network.ts'
import { HANDSHAKE_TIMEOUT_MS, MAX_UNPROVEN, PARTS } from '../src/net/unproven-connections.ts'
import { realClock } from '../src/real/real-clock.ts'
import { realRandom } from '../src/real/real-random.ts'
import { pack } from '../src/wire/body.ts'
import { frameOf, sealedFrameOf } from '../src/wire/frame.ts'
import { FrameDecoder, MAX_FRAME_BYTES, sealedLength } from '../src/wire/frame-decoder.ts'
import type { Clock } from '../src/ports/clock.ts'
import type { Connection, Hello, Network, Party } from '../src/ports/network.ts'
import { recordingLogger } from './suites/recording-logger.ts'
import type { Line } from './suites/recording-logger.ts'

const self: Party = { clusterId: 'c', kind: 'instance', dbid: 2, content: 0, name: 'h1' }
const hello: Hello = { ...self, dbid: 1, content: -1, name: 'h0', purpose: 'control', epoch: 1 }
const options = { timeoutMs: 5000, silenceTimeoutMs: 0 }

interface Server {
  readonly key: Buffer
  readonly network: Network
  readonly port: number
  readonly lines: Line[]
  readonly accepted: Connection[]
  readonly closes: MirabelleError[]
  /** Resolves when a line like this was logged. */
  logged(like: RegExp): Promise<Line>
  /** Resolves when so many accepted connections have ended. */
  ended(count: number): Promise<void>
  connect(port?: number, silenceTimeoutMs?: number): Promise<Connection>
}

async function serve(
  t: Test,
  encryption: 'auto' | 'always' = 'auto',
  clock: Clock = realClock,
): Promise<Server> {
  const { log, lines } = recordingLogger()
  const watchers = new Set<() => void>()
  const watched = {
    ...log,
    warn(fields: object, sentence: string) {
      log.warn(fields, sentence)
      for (const watch of watchers) watch()
    },
    child: () => watched,
  }
  const until = <T>(look: () => T | undefined): Promise<T> =>
    new Promise((resolve) => {
      const watch = (): void => {
        const found = look()
        if (found === undefined) return
        watchers.delete(watch)
        resolve(found)
      }
      watchers.add(watch)
      watch()
    })
  const key = randomBytes(32)
  const network = realNetwork({ clusterKey: key, log: watched, encryption, clock })
  const accepted: Connection[] = []
  const closes: MirabelleError[] = []
  const opened: Connection[] = []
  const listener = await network.listen(
    { addresses: ['127.0.0.1'], port: 0 },
    () => self,
    (connection) => {
      accepted.push(connection)
      connection.setHandlers({
        onMessage: (_message, respond) => respond?.reply({ type: 'ok' } as never),
        onClose(reason) {
          closes.push(reason)
          for (const watch of watchers) watch()
        },
      })
    },
  )
  t.teardown(async () => {
    await listener.close()
    for (const connection of [...accepted, ...opened]) connection.close()
  })
  return {
    key,
    network,
    port: listener.port,
    lines,
    accepted,
    closes,
    logged: (like) => until(() => lines.find(({ sentence }) => like.test(sentence))),
    ended: (count) => until(() => (closes.length >= count ? true : undefined)).then(() => undefined),
    async connect(port = listener.port, silenceTimeoutMs = 0) {
      const connection = await network.connect({ addresses: ['127.0.0.1'], port }, hello, {
        ...options,
        silenceTimeoutMs,
      })
      opened.push(connection)
      return connection
    },
  }
}

async function dialRaw(t: Test, port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port })
  socket.on('error', () => undefined)
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  socket.resume()
  return socket
}

/** Proves itself by hand, so that the test holds the bare socket of a proven connection. */
async function proveRaw(t: Test, { key, port }: Server): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port })
  socket.on('error', () => undefined)
  t.teardown(() => socket.destroy())
  const hex = (bytes: number): string => realRandom.hex(bytes)
  const machine = new OpenerHandshake({ keys: deriveKeys(key), hex, binding: new Uint8Array(0) }, hello, 0)
  socket.write(frameOf(machine.hello()))
  await new Promise<void>((resolve) => {
    const decoder = new FrameDecoder(4096, (body) => {
      const step = machine.receive(body)
      if ('send' in step) socket.write(frameOf(step.send))
      else {
        decoder.stop()
        resolve()
      }
    })
    socket.on('data', (chunk: Buffer) => decoder.push(chunk))
  })
  return socket
}

/** Resolves when the socket has closed, whatever ended it. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve()
    else socket.once('close', () => resolve())
  })
}

/** The server still serves. */
async function stillServes(t: Test, server: Server): Promise<void> {
  const connection = await server.connect()
  t.same(await connection.request({ type: 'cluster.probe' }, 5000), { type: 'ok' })
}

for (const encryption of ['auto', 'always'] as const) {
  t.test(`a megabyte of random bytes closes its connection with a log line (${encryption})`, async (t) => {
    const server = await serve(t, encryption)
    for (const first of [undefined, 0x16, 0x00]) {
      const noise = randomBytes(1024 * 1024)
      if (first !== undefined) noise[0] = first
      const seen = server.lines.length
      const socket = await dialRaw(t, server.port)
      socket.write(noise)
      await closed(socket)
      t.ok(server.lines.length > seen, 'a line was logged')
    }
    t.equal(server.accepted.length, 0)
    await stillServes(t, server)
  })
}

t.test('an unencrypted peer is refused where encryption is asked for', async (t) => {
  const server = await serve(t, 'always')
  const plain = realNetwork({ clusterKey: server.key, log: recordingLogger().log, encryption: 'auto' })
  await t.rejects(plain.connect({ addresses: ['127.0.0.1'], port: server.port }, hello, options), {
    code: 'handshake.failed',
    message: /must be encrypted/,
  })
})

t.test('one port takes plain and encrypted peers', async (t) => {
  const server = await serve(t, 'auto')
  const encrypted = realNetwork({ clusterKey: server.key, log: recordingLogger().log, encryption: 'always' })
  const connection = await encrypted.connect({ addresses: ['127.0.0.1'], port: server.port }, hello, options)
  t.same(await connection.request({ type: 'cluster.probe' }, 5000), { type: 'ok' })
  connection.close()
  await stillServes(t, server)
})

t.test('before the proof a frame is 4 KiB at most', async (t) => {
  const server = await serve(t)
  for (const bytes of [
    Buffer.from([0, 0, 0x10, 1]),
    Buffer.from([0, 0, 0, 0]),
    Buffer.from([0xff, 0xff, 0xff, 0xff]),
  ]) {
    const socket = await dialRaw(t, server.port)
    socket.write(bytes)
    await closed(socket)
  }
  t.equal(server.lines.filter(({ fields }) => fields['code'] === 'frame.bad').length, 3)
  await stillServes(t, server)
})

t.test('before the proof all frames together are 4 KiB at most', async (t) => {
  const server = await serve(t)
  const socket = await dialRaw(t, server.port)
  const pad = Buffer.alloc(3000)
  const nonce = Buffer.alloc(32)
  socket.write(frameOf(pack({ v: PROTOCOL_VERSION, hello, silence: 0, nonce, pad })))
  await once(socket, 'data')
  socket.write(frameOf(pack({ proof: pad })))
  await closed(socket)
  t.match(await server.logged(/refused/), {
    fields: { code: 'frame.bad' },
    sentence: /more than 4096 bytes before/,
  })
})

t.test('whoever is turned away when it is accepted hears that first, and nothing else', async (t) => {
  const network = realNetwork({ clusterKey: randomBytes(32), log: recordingLogger().log })
  const listener = await network.listen(
    { addresses: ['127.0.0.1'], port: 0 },
    () => self,
    (connection) => {
      connection.send({ type: 'ok' })
      connection.close(new MirabelleError('not.primary', 'somebody else is'))
    },
  )
  t.teardown(() => listener.close())
  await t.rejects(network.connect({ addresses: ['127.0.0.1'], port: listener.port }, hello, options), {
    code: 'not.primary',
    message: /somebody else is/,
  })
})

t.test("a client of PostgreSQL's is told that it has come to the wrong port", async (t) => {
  const server = await serve(t)
  const startup = Buffer.concat([Buffer.from([0, 0, 0, 23, 0, 3, 0, 0]), Buffer.from('user\0postgres\0\0')])
  const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])
  for (const asksForTls of [true, false]) {
    const socket = await dialRaw(t, server.port)
    let heard = ''
    socket.on('data', (bytes) => {
      heard += bytes.toString('latin1')
      if (heard === 'N') socket.write(startup)
    })
    socket.write(asksForTls ? sslRequest : startup)
    await closed(socket)
    t.match(heard, asksForTls ? /^NE/ : /^E/)
    t.match(
      heard,
      /SFATAL\0.*C57P03\0Mthis port is for the processes of the cluster\0HConnect to the coordinator/,
    )
  }
  t.equal((await server.logged(/client of PostgreSQL/)).level, 'info')
  await stillServes(t, server)
})

t.test(
  'a peer that never comes to its proof is dropped after ten seconds, however slowly it speaks',
  async (t) => {
    const fires: { ms: number; fn: () => void }[] = []
    const clock: Clock = {
      ...realClock,
      setTimer(ms, fn) {
        const entry = { ms, fn }
        fires.push(entry)
        return { clear: () => void (entry.fn = () => undefined) }
      },
    }
    const server = await serve(t, 'auto', clock)
    const socket = await dialRaw(t, server.port)
    socket.write(Buffer.from([0, 0]))
    while (fires.length === 0) await new Promise((resolve) => setImmediate(resolve))
    for (let part = 0; part < PARTS; part++) {
      t.equal(fires.length, part + 1, 'a part begins when the one before has passed here, not by the wall')
      t.equal(fires[part]?.ms, HANDSHAKE_TIMEOUT_MS / PARTS)
      t.notOk(socket.destroyed)
      socket.write(Buffer.from([9]))
      fires[part]?.fn()
    }
    await closed(socket)
    t.match((await server.logged(/no proof within/)).level, 'warn')
  },
)

t.test('there are only so many unproven connections; the oldest makes room', async (t) => {
  const server = await serve(t)
  const sockets: Socket[] = []
  const oldest = await dialRaw(t, server.port)
  const gone = closed(oldest)
  for (let i = 0; i < MAX_UNPROVEN; i++) sockets.push(await dialRaw(t, server.port))
  await gone
  await server.logged(/have not proven themselves/)
  t.notOk(sockets.at(-1)?.destroyed, 'the newest stay')
  await stillServes(t, server)
})

t.test('a replayed handshake is refused', async (t) => {
  const server = await serve(t)
  const recorded: Buffer[] = []
  const proxy = createServer((socket) => {
    const upstream = connect({ host: '127.0.0.1', port: server.port })
    socket.on('data', (chunk) => {
      recorded.push(chunk)
      upstream.write(chunk)
    })
    upstream.pipe(socket)
    socket.on('error', () => upstream.destroy())
    socket.on('close', () => upstream.destroy())
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => proxy.close())
  const connection = await server.connect((proxy.address() as AddressInfo).port)
  t.equal(server.accepted.length, 1)
  connection.close()
  const socket = await dialRaw(t, server.port)
  socket.write(Buffer.concat(recorded))
  await closed(socket)
  t.equal(server.accepted.length, 1)
  await server.logged(/could not prove/)
})

/** With one bit of its last byte changed. */
function damaged(frame: Buffer): Buffer {
  const last = frame.length - 1
  frame[last] = (frame[last] as number) ^ 1
  return frame
}

function lengthOf(length: number): Buffer {
  const word = Buffer.alloc(4)
  word.writeUInt32BE(sealedLength(length))
  return word
}

t.test(
  'bad bytes on a proven connection end that connection, with a typed error on both sides',
  async (t) => {
    const server = await serve(t)
    const rid = 1
    const bad: [string, Buffer, string][] = [
      ['zero length', Buffer.from([0, 0, 0, 0]), 'frame.bad'],
      ['oversize', lengthOf(MAX_FRAME_BYTES + 1), 'frame.bad'],
      ['a length that was damaged', Buffer.from([0x04, 0, 0, 1]), 'frame.bad'],
      ['damaged', damaged(sealedFrameOf(pack({ type: 'ok' }))), 'frame.bad'],
      ['undecodable', sealedFrameOf(Buffer.from([0xc1])), 'frame.bad'],
      ['unknown type', sealedFrameOf(pack({ type: 'no.such' })), 'message.bad'],
      ['wrong shape', sealedFrameOf(pack({ type: 'copy.end', copyId: 5 })), 'message.bad'],
      ['an answer to nothing', sealedFrameOf(pack({ type: 'ok', re: 7 })), 'message.bad'],
      ['a request that has no answer', sealedFrameOf(pack({ type: 'ok', rid })), 'message.bad'],
    ]
    for (const [name, bytes, code] of bad) {
      const socket = await proveRaw(t, server)
      const count = server.closes.length
      let parting = ''
      socket.on('data', (chunk) => (parting += chunk.toString('latin1')))
      socket.write(bytes)
      await Promise.all([server.ended(count + 1), closed(socket)])
      t.equal(server.closes.at(-1)?.code, code, name)
      t.match(parting, code, 'the peer is told')
    }
    t.equal(server.lines.filter(({ level }) => level === 'warn').length, bad.length, 'one log line each')
    await stillServes(t, server)
  },
)

t.test('random bytes on proven connections end only those', async (t) => {
  const server = await serve(t)
  for (let i = 0; i < 20; i++) {
    const socket = await proveRaw(t, server)
    const noise = randomBytes(64 * 1024)
    noise.writeUInt32BE(i % 2 === 0 ? 1000 : noise.readUInt32BE(0), 0)
    socket.end(noise)
    await server.ended(i + 1)
  }
  await stillServes(t, server)
})

t.test('a peer that goes in the middle of a frame is lost, and the error counts the bytes', async (t) => {
  const server = await serve(t)
  const socket = await proveRaw(t, server)
  socket.end(Buffer.concat([lengthOf(256), Buffer.from([0x81])]))
  await server.ended(1)
  t.match(server.closes[0], { code: 'connection.lost', message: /5 bytes into a frame/ })
})

t.test('an answer of the wrong type ends the connection', async (t) => {
  const server = await serve(t)
  const socket = await proveRaw(t, server)
  socket.on('data', (chunk: Buffer) => {
    if (chunk.includes('cluster.state')) socket.write(sealedFrameOf(pack({ type: 'ok', re: 1 })))
  })
  await t.rejects(
    (server.accepted[0] as Connection).request({ type: 'cluster.state' }, 5000).then(() => undefined),
    {
      code: 'message.bad',
      message: /answered with ok, not cluster\.stateIs/,
    },
  )
})

t.test('two sides that have nothing to say stay connected; a silent peer is given up', async (t) => {
  const server = await serve(t)
  let deaf = false
  /** When the last bytes went on to the side that connected. */
  let lastAt = 0
  const sockets: Socket[] = []
  const proxy = createServer((socket) => {
    const upstream = connect({ host: '127.0.0.1', port: server.port })
    sockets.push(socket, upstream)
    socket.on('data', (chunk) => void (deaf || upstream.write(chunk)))
    upstream.on('data', (chunk) => {
      if (deaf) return
      lastAt = performance.now()
      socket.write(chunk)
    })
    for (const one of [socket, upstream]) one.on('error', () => undefined)
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
  const silenceTimeoutMs = 1_000
  const connection = await server.connect((proxy.address() as AddressInfo).port, silenceTimeoutMs)
  let told: (reason: MirabelleError) => void = () => undefined
  const end = new Promise<MirabelleError>((resolve) => (told = resolve))
  connection.setHandlers({ onMessage: () => undefined, onClose: (reason) => told(reason) })
  await new Promise((resolve) => realClock.setTimer(4 * silenceTimeoutMs, () => resolve(undefined)))
  t.notOk(connection.closed, 'heartbeats keep it')
  t.equal(server.closes.length, 0)
  deaf = true
  t.equal((await end).code, 'connection.silent')
  t.ok(performance.now() - lastAt >= silenceTimeoutMs, 'not before the limit')
  await server.ended(1)
  t.equal(server.closes[0]?.code, 'connection.silent')
  t.ok(performance.now() - lastAt >= 3 * silenceTimeoutMs, 'the listening side has more patience')
})

t.test('a peer that takes nothing ends with `queue.full`, and what was queued is let go', async (t) => {
  const server = await serve(t)
  const socket = await proveRaw(t, server)
  socket.pause()
  const [connection] = server.accepted as [Connection]
  const chunk = Buffer.alloc(16 * 1024 * 1024)
  for (let seq = 0; seq < 20 && !connection.closed; seq++)
    connection.send({ type: 'query.output', seq, chunk })
  t.ok(connection.closed)
  await server.ended(1)
  t.equal(server.closes[0]?.code, 'queue.full')
  t.equal(connection.bufferedBytes, 0)
})

t.test('requests that wait are bounded', async (t) => {
  const server = await serve(t)
  const connection = await server.connect()
  server.accepted[0]?.setHandlers({ onMessage: () => undefined, onClose: () => undefined })
  const all = Array.from({ length: 10_001 }, () =>
    connection.request({ type: 'cluster.probe' }, 60_000).catch((error: MirabelleError) => error.code),
  )
  t.equal(await all.at(-1), 'queue.full')
  connection.close()
  t.ok((await Promise.all(all.slice(0, -1))).every((code) => code === 'connection.lost'))
})

t.test('connecting ends in time when the peer takes the connection but says nothing', async (t) => {
  const mute = createServer((socket) => socket.on('error', () => undefined))
  mute.listen(0, '127.0.0.1')
  await once(mute, 'listening')
  t.teardown(() => mute.close())
  const network = realNetwork({ clusterKey: randomBytes(32), log: recordingLogger().log })
  const endpoint = { addresses: ['127.0.0.1'], port: (mute.address() as AddressInfo).port }
  await t.rejects(network.connect(endpoint, hello, { timeoutMs: 100, silenceTimeoutMs: 0 }), {
    code: 'timeout',
  })
  const patient = { timeoutMs: 100, reachedTimeoutMs: 300, silenceTimeoutMs: 0 }
  await t.rejects(network.connect(endpoint, hello, patient), { message: /within 300 ms/ })
})

t.test('an address that says nothing costs its head start, not the whole time', async (t) => {
  const server = await serve(t)
  const mute = createServer((socket) => socket.on('error', () => undefined))
  mute.listen(server.port, '127.0.0.3')
  await once(mute, 'listening')
  t.teardown(() => mute.close())
  const start = performance.now()
  const endpoint = { addresses: ['127.0.0.3', '127.0.0.1'], port: server.port }
  const connection = await server.network.connect(endpoint, hello, { timeoutMs: 60_000, silenceTimeoutMs: 0 })
  t.equal(connection.remoteAddress, '127.0.0.1')
  t.ok(performance.now() - start < 20_000)
  connection.close()
})

t.test('certificates from files take the place of the pre-shared key', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mirabelle-tls-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const certify = (name: string): { certFile: string; keyFile: string; caFile: string } => {
    const [keyFile, certFile] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)]
    const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2']
    const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    execFileSync('openssl', ['req', '-x509', ...made, ...subject, '-keyout', keyFile, '-out', certFile], {
      stdio: 'ignore',
    })
    return { certFile, keyFile, caFile: certFile }
  }
  let certificates: ReturnType<typeof certify>
  try {
    certificates = certify('ours')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    t.comment('openssl is not installed: no certificates to try with')
    return
  }
  const { log } = recordingLogger()
  const clusterKey = randomBytes(32)
  const network = realNetwork({ clusterKey, log, encryption: 'always', certificates })
  const listener = await network.listen(
    { addresses: ['127.0.0.1', '127.0.0.2'], port: 0 },
    () => self,
    (connection) =>
      connection.setHandlers({
        onMessage: (_message, respond) => respond?.reply({ type: 'ok' }),
        onClose: () => undefined,
      }),
  )
  t.teardown(() => listener.close())
  const endpoint = { addresses: ['127.0.0.1'], port: listener.port }
  const connection = await network.connect(endpoint, hello, options)
  t.same(await connection.request({ type: 'cluster.probe' }, 5000), { type: 'ok' })
  connection.close()
  await t.rejects(network.connect({ ...endpoint, addresses: ['127.0.0.2'] }, hello, options), {
    code: 'handshake.failed',
    message: /ALTNAME/,
  })
  const stranger = { ...certify('theirs'), caFile: certificates.caFile }
  const theirs = realNetwork({ clusterKey, log, encryption: 'always', certificates: stranger })
  await t.rejects(theirs.connect(endpoint, hello, options), 'the listener checks the certificate of the peer')
  const keyOnly = realNetwork({ clusterKey, log, encryption: 'always' })
  await t.rejects(keyOnly.connect(endpoint, hello, options), { code: 'handshake.failed' })
})
