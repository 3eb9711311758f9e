// Below the protocol of PostgreSQL: clients that stop in the middle of the TLS handshake, and bytes of an encrypted session that somebody has changed on their way.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as tlsConnect, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { encodeQuery, encodeSslRequest, encodeStartup } from '@mirabelle/pgwire'
import { ManualClock } from './support/manual-clock.ts'
import { isInstalled } from './support/programs.ts'
import { RawClient } from './support/raw-client.ts'
import { toyDoor, untilStats } from './support/toy-session.ts'

const skip = isInstalled('openssl') ? false : 'openssl is not installed'
const startup = encodeStartup({ user: 'u', database: 'postgres' })

/** A key and a certificate of its own. */
function certificate(t: Test): { readonly key: Buffer; readonly cert: Buffer } {
  const folder = t.testdir({})
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=localhost', '-keyout', keyFile, '-out', certFile],
  ])
  t.equal(made.status, 0, String(made.stderr))
  return { key: readFileSync(keyFile), cert: readFileSync(certFile) }
}

/** The first bytes of a TLS handshake. */
async function helloBytes(): Promise<Buffer> {
  const listener = createServer()
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const client = tlsConnect({ host: '127.0.0.1', port: (listener.address() as AddressInfo).port })
  client.on('error', () => undefined) // nobody answers it
  const [socket] = (await once(listener, 'connection')) as [Socket]
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  listener.close()
  return bytes
}

t.test(
  'a client that stops within the TLS handshake is closed when its time is over',
  { skip },
  async (t) => {
    const clock = new ManualClock()
    const { door } = await toyDoor({ clock, tls: certificate(t) })
    t.teardown(() => door.close())
    const hello = await helloBytes()
    const clients: RawClient[] = []
    for (const bytes of [0, 1, 5, 60, hello.length]) {
      const client = await RawClient.open(door)
      client.write(encodeSslRequest())
      t.equal(await client.byte(), 'S')
      client.write(hello.subarray(0, bytes))
      clients.push(client)
    }
    await untilStats(door, { unauthenticated: clients.length })
    // The minute is counted in four parts.
    for (let part = 0; part < 4; part += 1) t.equal(clock.fire(15_000), clients.length)
    for (const client of clients) await client.closed
    await untilStats(door, { unauthenticated: 0, sessions: 0 })
  },
)

/** TLS through somebody who passes bytes on, until `damage` changes one bit of the next that the client sends. */
async function throughSomebody(
  t: Test,
  target: { readonly host: string; readonly port: number },
): Promise<{ readonly secure: TLSSocket; damage(): void }> {
  let damaging = false
  const between = createServer((socket) => {
    const upstream = connect(target)
    socket.on('data', (chunk: Buffer) => {
      const last = chunk.length - 1
      if (damaging) chunk[last] = (chunk[last] as number) ^ 1
      upstream.write(chunk)
    })
    upstream.pipe(socket)
    for (const one of [socket, upstream]) one.on('error', () => undefined) // reset by the one who found out
    upstream.on('close', () => socket.destroy())
    t.teardown(() => socket.destroy())
  })
  between.listen(0, '127.0.0.1')
  await once(between, 'listening')
  t.teardown(() => between.close())
  const plain = connect((between.address() as AddressInfo).port, '127.0.0.1')
  plain.write(encodeSslRequest())
  await once(plain, 'data')
  const secure = tlsConnect({ socket: plain, rejectUnauthorized: false })
  secure.on('error', () => undefined) // it is told by the server that its bytes were damaged
  await once(secure, 'secureConnect')
  return { secure, damage: () => (damaging = true) }
}

t.test('changed bytes of an encrypted session end it, and nothing of them is run', { skip }, async (t) => {
  const { door, sessions } = await toyDoor({ tls: certificate(t) })
  t.teardown(() => door.close())
  const { secure, damage } = await throughSomebody(t, door.address)
  secure.write(startup)
  await once(secure, 'data')
  await untilStats(door, { sessions: 1 })
  damage()
  secure.write(encodeQuery('damaged'))
  t.equal(await sessions[0]?.whenClosed(), 'disconnect')
  await untilStats(door, { sessions: 0, unauthenticated: 0 })
})

t.test('changed bytes before the login end the connection', { skip }, async (t) => {
  const { door, sessions } = await toyDoor({ tls: certificate(t) })
  t.teardown(() => door.close())
  const { secure, damage } = await throughSomebody(t, door.address)
  await untilStats(door, { unauthenticated: 1 })
  damage()
  secure.write(startup)
  await untilStats(door, { unauthenticated: 0 })
  t.equal(sessions.length, 0)
})
