// Whatever bytes a stranger sends: that connection is closed with a log line, the others and the process live on.
import t, { type Test } from 'tap'
import { encodeQuery, encodeStartup, SYNC, type FrontDoor } from '@mirabelle/pgwire'
import { RawClient, types } from './support/raw-client.ts'
import { toyDoor, untilStats } from './support/toy-session.ts'

/** A small generator with a seed, so that a failure can be run again (xorshift). */
function randomBytes(seed: number, count: number): Buffer {
  const bytes = Buffer.alloc(count)
  let state = seed
  for (let index = 0; index < count; index += 1) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[index] = state & 0xff
  }
  return bytes
}

async function assertAlive(t: Test, door: FrontDoor): Promise<void> {
  const { client } = await RawClient.login(door)
  client.write(encodeQuery('alive'))
  t.equal(types(await client.until('Z')), 'TDCZ')
  client.socket.destroy()
  await client.closed
}

t.test('a megabyte of random bytes, before and after login', async (t) => {
  const { door, logger } = await toyDoor()
  t.teardown(() => door.close())
  for (let seed = 1; seed <= 20; seed += 1) {
    const stranger = await RawClient.open(door)
    stranger.write(randomBytes(seed * 7919, 1_000_000))
    await stranger.closed
    const { client } = await RawClient.login(door)
    client.write(randomBytes(seed * 104_729, 1_000_000))
    await client.closed
  }
  t.equal(logger.above('info').length, 40, 'one log line each')
  await assertAlive(t, door)
})

t.test('each kind of bad message is answered with FATAL 08P01', async (t) => {
  const { door, sessions, logger } = await toyDoor()
  t.teardown(() => door.close())
  const before: [string, Buffer][] = [
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['a startup packet that says 10,001 bytes', Buffer.from('0000271100030000', 'hex')],
    ['a startup packet that says -1 bytes', Buffer.from('ffffffff00030000', 'hex')],
    ['a startup packet without its end', Buffer.from('0000000e00030000757365720075', 'hex')],
    [
      'a startup packet that is not UTF-8',
      Buffer.from('0000001000030000757365 7200ff0000'.replaceAll(' ', ''), 'hex'),
    ],
    ['a cancel request without a key', Buffer.from('0000000c04d2162e00000001', 'hex')],
  ]
  for (const [name, bytes] of before) {
    const stranger = await RawClient.open(door)
    stranger.write(bytes)
    const code = (await stranger.goodbye())?.code
    t.equal(code, name.includes('UTF-8') ? '22021' : '08P01', name)
  }
  const after: [string, Buffer][] = [
    ['an unknown type', Buffer.from('!\0\0\0\x04', 'latin1')],
    ['a length of 3', Buffer.from('Q\0\0\0\x03', 'latin1')],
    ['a length of 2 GB', Buffer.from('Q\x7f\xff\xff\xff', 'latin1')],
    ['a negative length', Buffer.from('d\xff\xff\xff\xff', 'latin1')],
    ['a second startup packet', encodeStartup({ user: 'u' })],
    ['a query without its end', Buffer.from('Q\0\0\0\x05x', 'latin1')],
    ['a bind that ends early', Buffer.from('B\0\0\0\x06\0\0', 'latin1')],
  ]
  for (const [name, bytes] of after) {
    const { client } = await RawClient.login(door)
    client.write(SYNC, bytes, encodeQuery('never'))
    const answers = await client.rest()
    t.equal(types(answers), 'ZE', `${name}: what came before is answered, what came after is not`)
    t.match(answers[1]!.bytes.toString('latin1'), /SFATAL\0VFATAL\0C08P01\0/)
    t.equal(await sessions.at(-1)!.whenClosed(), 'fatal')
  }
  t.equal(logger.above('info').length, before.length + after.length, 'one log line each')
  await assertAlive(t, door)
  await untilStats(door, { sessions: 0, unauthenticated: 0 }) // nothing is held
})

t.test('half messages cost nothing once their client is gone', async (t) => {
  const { door, sessions } = await toyDoor()
  t.teardown(() => door.close())
  const startup = encodeStartup({ user: 'u', database: 'postgres' })
  for (let length = 0; length < startup.length; length += 3) {
    const client = await RawClient.open(door)
    client.write(startup.subarray(0, length))
    client.socket.end()
    t.same(await client.rest(), [])
  }
  const { client } = await RawClient.login(door)
  const header = Buffer.from('d\x03\xff\xff\xff', 'latin1')
  client.write(header, Buffer.alloc(500_000))
  client.socket.end()
  t.equal(await sessions[0]!.whenClosed(), 'disconnect')
  await client.closed
  await assertAlive(t, door)
  await untilStats(door, { sessions: 0, unauthenticated: 0 }) // nothing is held
})

t.test('a message may be as long as the limit and no longer', async (t) => {
  const { door } = await toyDoor({ limits: { maxMessageBytes: 1_000_000 } })
  t.teardown(() => door.close())
  const { client } = await RawClient.login(door)
  client.write(encodeQuery('x'.repeat(1_000_000 - 5)))
  t.equal(types(await client.until('Z')), 'TDCZ')
  client.write(encodeQuery('x'.repeat(1_000_000 - 4)))
  t.match(await client.goodbye(), { code: '08P01', detail: /4 to 1000000 bytes/ })
})
