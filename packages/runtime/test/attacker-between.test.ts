/** Somebody between two peers, who sees and changes what they send: records of an encrypted connection, versions, certificates that have run out. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect as tlsConnect, createServer as createTlsServer } from 'node:tls'
import t, { type Test } from 'tap'
import type { MirabelleError } from '@mirabelle/messages'
import { realNetwork } from '../src/net/real-network.ts'
import type { CertificateFiles, Connection, Hello, Network, Party } from '../src/index.ts'
import { pack } from '../src/wire/body.ts'
import { sealedFrameOf } from '../src/wire/frame.ts'
import { recordingLogger } from './suites/recording-logger.ts'

const self: Party = { clusterId: 'c', kind: 'instance', dbid: 2, content: 0, name: 'h1' }
const hello: Hello = { ...self, dbid: 1, content: -1, name: 'h0', purpose: 'control', epoch: 1 }
const options = { timeoutMs: 5000, silenceTimeoutMs: 0 }
const clusterKey = randomBytes(32)
const numbered = (n: number) => ({ type: 'agent.stopped', dbid: n, wasRunning: false }) as const

interface Server {
  readonly port: number
  readonly network: Network
  /** What came on the newest connection. */
  readonly got: () => readonly number[]
  /** Why the newest connection ended. */
  readonly ended: () => Promise<MirabelleError>
}

async function serve(t: Test, certificates?: CertificateFiles): Promise<Server> {
  const { log } = recordingLogger()
  const network = realNetwork({
    clusterKey,
    log,
    encryption: 'always',
    ...(certificates === undefined ? {} : { certificates }),
  })
  let got: number[] = []
  let ended: Promise<MirabelleError> = new Promise(() => undefined)
  const listener = await network.listen(
    { addresses: ['127.0.0.1'], port: 0 },
    () => self,
    (connection) => {
      const mine: number[] = []
      got = mine
      ended = new Promise((resolve) =>
        connection.setHandlers({
          onMessage(message, respond) {
            if (message.type === 'agent.stopped') mine.push(message.dbid)
            respond?.reply({ type: 'ok' } as never)
          },
          onClose: resolve,
        }),
      )
    },
  )
  t.teardown(() => listener.close())
  return { port: listener.port, network, got: () => got, ended: () => ended }
}

/** TLS records that the opener sends, one by one. Returns what goes on instead; `end` = the connection is closed after it. */
type Attack = (record: Buffer, n: number) => { readonly send: readonly Buffer[]; readonly end?: boolean }

interface Between {
  readonly port: number
  arm(attack: Attack): void
  /** Resolves when so many records have come since it was armed. */
  record(n: number): Promise<void>
}

/** Passes everything on until it is armed, then each record as the attack says. */
async function between(t: Test, port: number): Promise<Between> {
  let attack: Attack | undefined
  let records = 0
  const seen = new EventEmitter()
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const upstream = connect({ host: '127.0.0.1', port })
    let held = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk])
      while (held.length >= 5 && held.length >= 5 + held.readUInt16BE(3)) {
        const record = held.subarray(0, 5 + held.readUInt16BE(3))
        held = held.subarray(record.length)
        const { send, end = false } = attack?.(Buffer.from(record), records) ?? { send: [record] }
        for (const one of send) upstream.write(one)
        if (end) upstream.end()
        if (attack !== undefined) seen.emit('record', ++records)
      }
    })
    upstream.pipe(socket)
    for (const [one, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    arm(next) {
      attack = next
    },
    async record(n) {
      while (records < n) await once(seen, 'record')
    },
  }
}

const pass = (record: Buffer) => ({ send: [record] })
/** The record that is attacked. */
const AT = 3
let kept: Buffer | undefined
const attacks: Readonly<Record<string, Attack>> = {
  'one bit is changed': (record, n) => {
    if (n === AT) record[record.length - 1] = (record[record.length - 1] as number) ^ 1
    return pass(record)
  },
  'one is left out': (record, n) => (n === AT ? { send: [] } : pass(record)),
  'one comes twice': (record, n) => (n === AT ? { send: [record, record] } : pass(record)),
  'two change places': (record, n) => {
    if (n === AT) kept = record
    return n === AT ? { send: [] } : { send: n === AT + 1 ? [record, kept as Buffer] : [record] }
  },
  'one is cut, and the connection closed': (record, n) =>
    n === AT ? { send: [record.subarray(0, record.length >> 1)], end: true } : pass(record),
  'the connection is closed between two': (record, n) => (n === AT ? { send: [], end: true } : pass(record)),
  'one is made up': (record, n) =>
    n === AT
      ? { send: [Buffer.concat([Buffer.from([0x17, 3, 3, 0, 64]), randomBytes(64)]), record] }
      : pass(record),
  'a frame comes in the clear': (record, n) =>
    n === AT ? { send: [sealedFrameOf(pack(numbered(99))), record] } : pass(record),
}

for (const [name, attack] of Object.entries(attacks))
  t.test(`records of an encrypted connection: ${name}`, async (t) => {
    const server = await serve(t)
    const proxy = await between(t, server.port)
    const connection = await server.network.connect(
      { addresses: ['127.0.0.1'], port: proxy.port },
      hello,
      options,
    )
    const lost = closeOf(connection)
    proxy.arm(attack)
    for (let n = 0; n < 12; n++) {
      connection.send(numbered(n))
      // Each in a record of its own.
      await Promise.race([proxy.record(n + 1), lost])
    }
    t.ok(await server.ended(), 'the accepter ends the connection')
    t.ok(await lost, 'so does the opener')
    const got = server.got()
    t.same(
      got,
      Array.from(got, (_, n) => n),
      'what was taken is the beginning of what was sent, in order',
    )
    t.ok(got.length <= AT + 1, `nothing behind the attack was taken: ${got.length}`)
    const again = await server.network.connect(
      { addresses: ['127.0.0.1'], port: server.port },
      hello,
      options,
    )
    t.same(await again.request({ type: 'cluster.probe' }, 5000), { type: 'ok' }, 'others are served')
    again.close()
  })

function closeOf(connection: Connection): Promise<MirabelleError> {
  return new Promise((resolve) => connection.setHandlers({ onMessage: () => undefined, onClose: resolve }))
}

t.test('an older version of TLS is refused on both sides, whoever offers it', async (t) => {
  const server = await serve(t)
  const old = {
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.2',
    ciphers: 'PSK-AES128-GCM-SHA256:ECDHE-PSK-CHACHA20-POLY1305',
  } as const
  const client = tlsConnect({
    ...old,
    host: '127.0.0.1',
    port: server.port,
    pskCallback: () => ({ psk: randomBytes(32), identity: 'c' }),
    checkServerIdentity: () => undefined,
  })
  const [refusal] = (await once(client, 'error')) as [Error]
  t.match(refusal.message, /protocol version|ECONNRESET|disconnected/i)
  const impostor = createTlsServer({ ...old, pskCallback: () => randomBytes(32) })
  impostor.on('tlsClientError', () => undefined)
  impostor.listen(0, '127.0.0.1')
  await once(impostor, 'listening')
  t.teardown(() => impostor.close())
  const { port } = impostor.address() as AddressInfo
  await t.rejects(server.network.connect({ addresses: ['127.0.0.1'], port }, hello, options), {
    code: 'handshake.failed',
  })
})

t.test('certificates that have run out are refused on both sides', async (t) => {
  const dir = t.testdir({})
  const at = (name: string): string => join(dir, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' })
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const caFile = at('ca.pem')
  const certify = (name: string, days: number): CertificateFiles => {
    openssl('req', ...ec, '-subj', '/CN=127.0.0.1', '-keyout', at(`${name}.key`), '-out', at(`${name}.csr`))
    const issuer = ['-CA', caFile, '-CAkey', at('ca.key'), '-CAcreateserial', '-days', String(days)]
    const name127 = ['-extfile', at('name.ext')]
    openssl('x509', '-req', '-in', at(`${name}.csr`), ...issuer, ...name127, '-out', at(`${name}.pem`))
    return { certFile: at(`${name}.pem`), keyFile: at(`${name}.key`), caFile }
  }
  try {
    openssl('req', '-x509', ...ec, '-subj', '/CN=ca', '-days', '2', '-keyout', at('ca.key'), '-out', caFile)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    t.comment('openssl is not installed: no certificates to try with')
    return
  }
  writeFileSync(at('name.ext'), 'subjectAltName=IP:127.0.0.1\n')
  const [good, old] = [certify('good', 2), certify('old', -1)]
  const { log } = recordingLogger()
  const [fresh, expired] = [await serve(t, good), await serve(t, old)]
  const endpoint = (port: number) => ({ addresses: ['127.0.0.1'], port })
  const connection = await fresh.network.connect(endpoint(fresh.port), hello, options)
  t.same(await connection.request({ type: 'cluster.probe' }, 5000), { type: 'ok' })
  connection.close()
  await t.rejects(fresh.network.connect(endpoint(expired.port), hello, options), {
    code: 'handshake.failed',
    message: /expired/i,
  })
  const late = realNetwork({ clusterKey, log, encryption: 'always', certificates: old })
  await t.rejects(late.connect(endpoint(fresh.port), hello, options), 'the accepter looks at the date, too')
})
