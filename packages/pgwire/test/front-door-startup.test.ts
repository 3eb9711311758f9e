// From the first byte to ReadyForQuery, and all the ways not to get there.
import { EventEmitter, once } from 'node:events'
import t from 'tap'
import {
  encodeCancelRequest,
  encodeGssencRequest,
  encodePassword,
  encodeQuery,
  encodeSaslInitialResponse,
  encodeSslRequest,
  encodeStartup,
  pgwireError,
  TERMINATE,
} from '@mirabelle/pgwire'
import { ManualClock } from './support/manual-clock.ts'
import { errorOf, RawClient, types, type Answer } from './support/raw-client.ts'
import { ToySession, toyDoor, untilStats } from './support/toy-session.ts'

const keyOf = (answers: readonly Answer[]): { pid: number; secret: Buffer } => {
  const { bytes } = answers.find((answer) => answer.type === 'K')!
  return { pid: bytes.readInt32BE(5), secret: bytes.subarray(9) }
}

const startup = encodeStartup({ user: 'u', database: 'postgres' })

t.test('requests for encryption are answered, then the startup follows', async (t) => {
  const { door } = await toyDoor()
  t.teardown(() => door.close())
  const client = await RawClient.open(door)
  client.write(encodeGssencRequest())
  t.equal(await client.byte(), 'N')
  client.write(encodeSslRequest())
  t.equal(await client.byte(), 'N')
  client.write(startup)
  t.equal(types(await client.until('Z')), 'RSSSSSSKZ')
  client.write(TERMINATE)
  t.same(await client.rest(), [])

  const twice = await RawClient.open(door)
  twice.write(encodeSslRequest())
  t.equal(await twice.byte(), 'N')
  twice.write(encodeSslRequest())
  t.match(await twice.goodbye(), { severity: 'FATAL', code: '08P01' })
})

t.test('a startup split at every byte opens a session', async (t) => {
  const { door, sessions } = await toyDoor()
  t.teardown(() => door.close())
  const client = await RawClient.open(door)
  client.socket.setNoDelay(true)
  for (const byte of startup) client.socket.write(Buffer.from([byte]))
  for (const byte of encodeQuery('hello')) client.socket.write(Buffer.from([byte]))
  await client.until('Z')
  t.equal(
    types(await client.until('Z')),
    'TDCZ',
    'what was sent ahead of authentication is answered after it',
  )
  t.equal(sessions.length, 1)
  client.socket.destroy()
})

t.test('newer minor versions and unknown options are negotiated down', async (t) => {
  const { door, sessions } = await toyDoor()
  t.teardown(() => door.close())
  const old = await RawClient.login(door, 0)
  t.equal(types(old.answers), 'RSSSSSSKZ')
  t.equal(keyOf(old.answers).secret.length, 4, '3.0 has room for 4 bytes of key')
  const current = await RawClient.login(door, 2)
  t.equal(types(current.answers), 'RSSSSSSKZ')
  t.equal(keyOf(current.answers).secret.length, 32)
  const future = await RawClient.login(door, 9999)
  t.equal(types(future.answers), 'vRSSSSSSKZ')
  t.equal(future.answers[0]!.bytes.toString('hex'), '760000000c0003000200000000')
  t.equal(sessions[2]!.connection.protocolMinor, 2)
  for (const { client } of [old, current, future]) client.socket.destroy()
})

t.test('refusals name their reason', async (t) => {
  const { door, logger } = await toyDoor({
    authenticate: ({ user }) => {
      if (user === 'broken') throw new Error('catalog is away')
      return user === 'mallory' ? { method: 'reject' } : { method: 'trust' }
    },
    sessionFactory: () => {
      throw pgwireError('cannotConnectNow', 'the coordinator resolves transactions', { hint: 'Try again.' })
    },
  })
  t.teardown(() => door.close())
  const cases: [string, Record<string, string>, object][] = [
    ['no user', { database: 'postgres' }, { code: '28000', message: /no PostgreSQL user name/ }],
    ['another database', { user: 'u', database: 'x' }, { code: '3D000', message: /"x"/, hint: /"postgres"/ }],
    ['the database of the user by default', { user: 'u' }, { code: '3D000', message: /"u"/ }],
    ['replication', { user: 'u', replication: 'database' }, { code: '0A000', message: /replication/ }],
    [
      'a rejected user',
      { user: 'mallory' },
      { code: '28000', message: /"mallory" in from host "127.0.0.1"/ },
    ],
    [
      'options of another form',
      { user: 'u', database: 'postgres', options: '-F' },
      { code: '08P01', message: /-F/ },
    ],
    [
      'a session that does not open',
      { user: 'u', database: 'postgres' },
      { code: '57P03', hint: 'Try again.' },
    ],
    ['a policy that fails', { user: 'broken' }, { code: 'XX000', message: /internal error/ }],
  ]
  for (const [name, parameters, expected] of cases) {
    const client = await RawClient.open(door)
    client.write(encodeStartup(parameters))
    t.match(await client.goodbye(), { severity: 'FATAL', ...expected }, name)
  }
  t.ok(
    logger.lines.some(
      (line) => line.level === 'error' && String(line.fields['err']).includes('catalog is away'),
    ),
  )
  await untilStats(door, { sessions: 0, unauthenticated: 0 }) // nothing is held
})

t.test('an unknown user is asked for a password like any other', async (t) => {
  const { door } = await toyDoor({
    authenticate: () => ({ method: 'scram', verifier: undefined }),
    mockAuthenticationSecret: Buffer.alloc(32, 1),
  })
  t.teardown(() => door.close())
  const salts: string[] = []
  for (let turn = 0; turn < 2; turn += 1) {
    const client = await RawClient.open(door)
    client.write(startup)
    t.equal((await client.next())?.bytes.toString('latin1', 9), 'SCRAM-SHA-256\0\0')
    client.write(encodeSaslInitialResponse('SCRAM-SHA-256', Buffer.from('n,,n=,r=abc')))
    const first = (await client.next())!.bytes.toString('latin1', 9)
    const [, nonce, salt] = /^r=([^,]+),s=([^,]+),i=4096$/.exec(first)!
    salts.push(salt!)
    client.write(encodePassword(Buffer.from(`c=biws,r=${nonce},p=${Buffer.alloc(32).toString('base64')}`)))
    t.match(await client.goodbye(), { code: '28P01' })
  }
  t.equal(salts[0], salts[1])
})

t.test('what is no SASL exchange ends the authentication', async (t) => {
  const { door } = await toyDoor({ authenticate: () => ({ method: 'scram', verifier: undefined }) })
  t.teardown(() => door.close())
  const attempts: [string, Buffer][] = [
    [
      'another mechanism',
      encodeSaslInitialResponse('SCRAM-SHA-256-PLUS', Buffer.from('p=tls-unique,,n=,r=a')),
    ],
    ['a plain password', encodePassword(Buffer.from('secret\0'))],
    ['a query', encodeQuery('select 1')],
    ['goodbye', TERMINATE],
  ]
  for (const [name, bytes] of attempts) {
    const client = await RawClient.open(door)
    client.write(startup)
    await client.until('R')
    client.write(bytes)
    t.match(await client.goodbye(), { severity: 'FATAL', code: '08P01' }, name)
  }
})

t.test('a client that dawdles is told so and closed when authentication_timeout is over', async (t) => {
  const clock = new ManualClock()
  const { door, logger } = await toyDoor({ clock })
  t.teardown(() => door.close())
  const silent = await RawClient.open(door)
  const half = await RawClient.open(door)
  half.write(startup.subarray(0, 9))
  const { client: inside } = await RawClient.login(door)
  // The minute is counted in four parts.
  for (let part = 0; part < 4; part += 1)
    t.equal(clock.fire(15_000), 2, 'the one that is in is not watched any more')
  t.match(await silent.goodbye(), { severity: 'FATAL', code: '57014', detail: /60000 ms/ })
  t.match(await half.goodbye(), { code: '57014' })
  t.equal(logger.above('info').length, 2)
  inside.write(encodeQuery('still here'))
  t.equal(types(await inside.until('Z')), 'TDCZ')
  inside.socket.destroy()
})

t.test('connections are bounded, before authentication and after', async (t) => {
  const { door, logger } = await toyDoor({ limits: { maxConnections: 2, maxUnauthenticated: 3 } })
  t.teardown(() => door.close())
  const one = await RawClient.login(door)
  const two = await RawClient.login(door)
  const third = await RawClient.open(door)
  third.write(startup)
  t.match(await third.goodbye(), { code: '53300', message: 'sorry, too many clients already', detail: /2/ })
  one.client.socket.destroy()
  await untilStats(door, { sessions: 1 })
  const again = await RawClient.login(door)

  const waiting = [await RawClient.open(door), await RawClient.open(door), await RawClient.open(door)]
  await untilStats(door, { unauthenticated: 3 })
  const over = await RawClient.open(door)
  t.same(await waiting[0]?.rest(), [], 'the one that has waited longest is closed without a word')
  t.match(logger.above('info').at(-1), {
    level: 'warn',
    message: /too many connections wait for authentication/,
  })
  await untilStats(door, { unauthenticated: 3 })
  two.client.socket.destroy()
  await untilStats(door, { sessions: 1 })
  over.write(startup)
  t.equal(types(await over.until('Z')).at(-1), 'Z', 'the newest is served')
  for (const client of [...waiting, over, again.client]) client.socket.destroy()
})

t.test(
  'how many may come can depend on who comes, and how long a login may take on the moment',
  async (t) => {
    let timeoutMs = 60_000
    const clock = new ManualClock()
    const { door } = await toyDoor({
      clock,
      maxConnections: ({ user }) => (user === 'admin' ? 2 : 1),
      authenticationTimeoutMs: () => timeoutMs,
    })
    t.teardown(() => door.close())
    const one = await RawClient.login(door)
    const other = await RawClient.open(door)
    other.write(startup)
    t.match(await other.goodbye(), { code: '53300' })
    const admin = await RawClient.open(door)
    admin.write(encodeStartup({ user: 'admin', database: 'postgres' }))
    t.equal(types(await admin.until('Z')).at(-1), 'Z')
    timeoutMs = 2_000
    const slow = await RawClient.open(door)
    slow.write(startup.subarray(0, 6))
    await untilStats(door, { unauthenticated: 1 })
    for (let part = 0; part < 4; part += 1) t.equal(clock.fire(500), 1)
    t.match(await slow.goodbye(), { code: '57014' })
    for (const client of [one.client, admin]) client.socket.destroy()
  },
)

t.test('a cancel request with the right key cancels, any other does nothing', async (t) => {
  const { door, events } = await toyDoor()
  t.teardown(() => door.close())
  for (const minor of [0, 2]) {
    const { client, answers } = await RawClient.login(door, minor)
    const { pid, secret } = keyOf(answers)
    const waiting = once(events, 'waiting')
    client.write(encodeQuery('wait'))
    await waiting
    let answered = false
    const answer = client.until('Z').then((all) => {
      answered = true
      return all
    })
    const wrong = Buffer.from(secret)
    wrong[3]! ^= 1
    for (const request of [
      encodeCancelRequest(pid, wrong),
      encodeCancelRequest(pid, Buffer.concat([secret, secret])),
      encodeCancelRequest(pid + 1000, secret),
    ]) {
      const canceller = await RawClient.open(door)
      canceller.write(request)
      t.same(await canceller.rest(), [], 'closed without an answer')
    }
    t.equal(answered, false)
    const canceller = await RawClient.open(door)
    canceller.write(encodeCancelRequest(pid, secret))
    t.same(await canceller.rest(), [])
    const [error] = await answer
    t.equal(errorOf(error!).code, '57014')
    client.write(encodeQuery('on'))
    t.equal(types(await client.until('Z')), 'TDCZ', 'the session lives on')
    client.socket.destroy()
  }
})

t.test('a door that is not ready says why, and can be switched while it is open', async (t) => {
  const inRecovery = pgwireError('cannotConnectNow', 'the database system is in recovery mode')
  const { door } = await toyDoor({ notReady: inRecovery })
  t.teardown(() => door.close())
  const early = await RawClient.open(door)
  early.write(startup)
  t.match(await early.goodbye(), { severity: 'FATAL', code: '57P03', message: /in recovery mode/ })
  door.setNotReady(undefined)
  const { client } = await RawClient.login(door)
  door.setNotReady(inRecovery)
  const late = await RawClient.open(door)
  late.write(startup)
  t.match(await late.goodbye(), { code: '57P03' })
  client.write(encodeQuery('x'))
  t.equal(types(await client.until('Z')), 'TDCZ', 'open sessions are not touched')
  client.socket.destroy()
})

t.test('a door that stops being ready during a login refuses it', async (t) => {
  const { door, sessions } = await toyDoor({
    authenticate: async () => {
      door.setNotReady(pgwireError('cannotConnectNow', 'the database system is in recovery mode'))
      return { method: 'trust' }
    },
  })
  t.teardown(() => door.close())
  const client = await RawClient.open(door)
  client.write(startup)
  t.match(await client.goodbye(), { severity: 'FATAL', code: '57P03' })
  t.equal(sessions.length, 0)
})

t.test('a client that leaves during its login opens no session', async (t) => {
  let decide: (() => void) | undefined
  const asked = new EventEmitter()
  const { door, sessions } = await toyDoor({
    authenticate: () =>
      new Promise((resolve) => {
        decide = () => resolve({ method: 'trust' })
        asked.emit('asked')
      }),
  })
  t.teardown(() => door.close())
  const client = await RawClient.open(door)
  const reached = once(asked, 'asked')
  client.write(startup)
  await reached
  client.socket.destroy()
  await untilStats(door, { unauthenticated: 0 })
  decide!()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(sessions.length, 0)
  t.same(door.stats(), { sessions: 0, unauthenticated: 0 })
})

t.test('a client that leaves while its session opens has it closed', async (t) => {
  const sessions: ToySession[] = []
  const slow = new EventEmitter()
  const { door: slowDoor, events } = await toyDoor({
    sessionFactory: async (connection) => {
      const session = new ToySession(connection, events)
      sessions.push(session)
      slow.emit('opening')
      await once(slow, 'go')
      return { session, parameters: {} }
    },
  })
  t.teardown(() => slowDoor.close())
  const client = await RawClient.open(slowDoor)
  const opening = once(slow, 'opening')
  client.write(startup)
  await opening
  client.socket.destroy()
  await untilStats(slowDoor, { sessions: 0 })
  slow.emit('go')
  t.equal(await sessions[0]!.whenClosed(), 'disconnect')
})
