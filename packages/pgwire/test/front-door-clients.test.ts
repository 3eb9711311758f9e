// Real clients against the door: psql (libpq) and node-postgres, plain and encrypted, trusted and with passwords.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import { encodeSslRequest, encodeStartup, makeScramVerifier, type FrontDoor } from '@mirabelle/pgwire'
import { isInstalled, psql } from './support/programs.ts'
import { RawClient } from './support/raw-client.ts'
import { toyDoor, untilStats } from './support/toy-session.ts'

const noPsql = isInstalled('psql') ? false : 'psql is not installed'
const noOpenssl = isInstalled('openssl') ? false : 'openssl is not installed: no certificate can be made'

const client = (door: FrontDoor, more: pg.ClientConfig = {}): pg.Client => {
  const { host, port } = door.address
  return new pg.Client({ host, port, user: 'u', database: 'postgres', ...more })
}

const verifiers = new Map([['u', makeScramVerifier('größe 1')]])
const byPassword = { authenticate: ({ user }: { user: string }) => scram(verifiers.get(user)) }
const scram = (verifier: string | undefined) => ({ method: 'scram' as const, verifier })

t.test('node-postgres runs simple and extended queries and reads complete errors', async (t) => {
  const { door, sessions } = await toyDoor()
  t.teardown(() => door.close())
  const one = client(door, { application_name: 'app' })
  await one.connect()
  t.same((await one.query('hello')).rows, [{ echo: 'hello' }])
  t.same((await one.query('select $1, $2', ['größe', null])).rows, [{ p1: 'größe', p2: null }])
  await t.rejects(one.query('error'), { code: '22012', hint: 'Do not.', position: '3', severity: 'ERROR' })
  t.same((await one.query('again')).rows, [{ echo: 'again' }])
  t.equal(sessions[0]!.connection.settings.get('application_name'), 'app')
  await one.end()
  t.equal(await sessions[0]!.whenClosed(), 'terminate')
})

t.test('node-postgres proves its password by SCRAM', async (t) => {
  const { door, logger } = await toyDoor(byPassword)
  t.teardown(() => door.close())
  const right = client(door, { password: 'größe 1' })
  await right.connect()
  t.same((await right.query('in')).rows, [{ echo: 'in' }])
  await right.end()
  await t.rejects(client(door, { password: 'wrong' }).connect(), { code: '28P01' })
  await t.rejects(client(door, { user: 'nobody', password: 'x' }).connect(), {
    code: '28P01',
    message: 'password authentication failed for user "nobody"',
  })
  t.equal(logger.above('info').length, 2, 'each refusal is logged')
})

t.test('psql runs statements, shows errors and copies both ways', { skip: noPsql }, async (t) => {
  const { door, sessions } = await toyDoor()
  t.teardown(() => door.close())
  const hello = await psql(door, ['-c', 'hello', '-c', 'größe']).finished
  t.same(hello, { status: 0, stdout: 'hello\ngröße\n', stderr: '' })
  const error = await psql(door, ['-c', 'error']).finished
  t.match(error, { status: 1, stderr: /ERROR: {2}division by zero[^]*HINT: {2}Do not\./ })
  const out = await psql(door, ['-c', 'copy t to stdout']).finished
  t.equal(out.stdout, '1\tone\n2\ttwo\n')
  const input = await psql(door, ['-c', 'copy t from stdin'], { input: '1\tx\n2\ty\n3\tz\n' }).finished
  t.same(input, { status: 0, stdout: 'COPY 3\n', stderr: '' })
  t.equal(Buffer.concat(sessions.at(-1)!.copied).toString(), '1\tx\n2\ty\n3\tz\n')
})

t.test('psql proves its password by SCRAM', { skip: noPsql }, async (t) => {
  const { door } = await toyDoor(byPassword)
  t.teardown(() => door.close())
  t.match(await psql(door, ['-c', 'in'], { env: { PGPASSWORD: 'größe 1' } }).finished, {
    status: 0,
    stdout: 'in\n',
  })
  const wrong = await psql(door, ['-c', 'in'], { env: { PGPASSWORD: 'größe 2' } }).finished
  t.match(wrong, { status: 2, stderr: /FATAL: {2}password authentication failed for user "u"/ })
  const none = await psql(door, ['-w', '-c', 'in']).finished
  t.match(none, { status: 2, stderr: /no password supplied/ })
})

t.test('Ctrl-C in psql cancels its statement', { skip: noPsql }, async (t) => {
  const { door, sessions, events } = await toyDoor()
  t.teardown(() => door.close())
  const { child, finished } = psql(door, ['-c', 'wait'])
  events.once('waiting', () => child.kill('SIGINT'))
  t.match(await finished, { stderr: /ERROR: {2}canceling statement due to user request/ })
  t.equal(await sessions[0]!.whenClosed(), 'terminate', 'the session lived on until psql said goodbye')
})

t.test('clients can insist on TLS', { skip: noOpenssl }, async (t) => {
  const folder = t.testdir({})
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=localhost', '-keyout', keyFile, '-out', certFile],
  ])
  t.equal(made.status, 0, String(made.stderr))
  const cert = readFileSync(certFile)
  const { door, sessions, logger } = await toyDoor({
    tls: { key: readFileSync(keyFile), cert },
    // Longer than the test may last: a connection that only this timeout ends has been forgotten.
    limits: { authenticationTimeoutMs: 3_600_000 },
    ...byPassword,
  })
  t.teardown(() => door.close())

  const ssl = { ca: cert, servername: 'localhost' }
  const secure = client(door, { password: 'größe 1', ssl })
  await secure.connect()
  t.same((await secure.query('secret')).rows, [{ echo: 'secret' }])
  t.same((await secure.query('big 40')).rows.length, 40)
  t.match(sessions[0]!.connection.peer, { encrypted: true, loopback: true })
  await secure.end()

  const plain = client(door, { password: 'größe 1' })
  await plain.connect()
  t.equal(sessions[1]!.connection.peer.encrypted, false, 'it is an offer, not a demand')
  await plain.end()

  await t.rejects(
    client(door, { ssl: { ca: [], rejectUnauthorized: true } }).connect(),
    /self-signed|unable to verify/,
  )
  if (noPsql === false) {
    const env = { PGPASSWORD: 'größe 1', PGSSLMODE: 'verify-ca', PGSSLROOTCERT: certFile }
    t.match(await psql(door, ['-c', 'secret'], { env }).finished, { status: 0, stdout: 'secret\n' })
    t.equal(sessions[2]!.connection.peer.encrypted, true)
  }

  const injected = await RawClient.open(door)
  injected.write(encodeSslRequest(), encodeStartup({ user: 'u' }))
  t.match(await injected.goodbye(), { code: '08P01', message: 'received unencrypted data after SSL request' })

  const vanishing = client(door, { password: 'größe 1', ssl })
  await vanishing.connect()
  const session = sessions.at(-1)!
  vanishing.on('error', () => undefined) // its own socket is cut below
  const { stream } = (vanishing as unknown as { connection: { stream: Socket } }).connection
  stream.destroy()
  t.equal(await session.whenClosed(), 'disconnect')

  const gone = await RawClient.open(door)
  gone.write(encodeSslRequest())
  t.equal(await gone.byte(), 'S')
  gone.socket.destroy()

  const broken = await RawClient.open(door)
  broken.write(encodeSslRequest())
  t.equal(await broken.byte(), 'S')
  broken.write(Buffer.from('this is no TLS handshake at all'))
  await broken.closed
  t.ok(logger.lines.some((line) => line.level === 'warn' && line.message.includes('TLS handshake failed')))
  await untilStats(door, { sessions: 0, unauthenticated: 0 }) // nothing is held
})

t.test('psql may insist on TLS in vain', { skip: noPsql }, async (t) => {
  const { door } = await toyDoor()
  t.teardown(() => door.close())
  const refused = await psql(door, ['-c', 'x'], { env: { PGSSLMODE: 'require' } }).finished
  t.match(refused, { status: 2, stderr: /server does not support SSL/ })
})
