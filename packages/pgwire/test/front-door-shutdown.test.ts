// How a door is closed: smart waits, fast says why, immediate cuts off.
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { createFrontDoor, encodeQuery, encodeStartup, TERMINATE, type FrontDoor } from '@mirabelle/pgwire'
import { memoryLogger } from './support/memory-logger.ts'
import { RawClient, types } from './support/raw-client.ts'
import { toyDoor, untilStats } from './support/toy-session.ts'

const isFree = async ({ host, port }: FrontDoor['address']): Promise<boolean> => {
  const socket = connect(port, host)
  const [error] = await Promise.race([once(socket, 'error'), once(socket, 'connect').then(() => [undefined])])
  socket.destroy()
  return (error as NodeJS.ErrnoException | undefined)?.code === 'ECONNREFUSED'
}

t.test('fast: every client is told 57P01 and the port is free afterwards', async (t) => {
  const { door, sessions, events } = await toyDoor()
  const { address } = door
  const { client: idle } = await RawClient.login(door)
  const { client: busy } = await RawClient.login(door)
  const waiting = once(events, 'waiting')
  busy.write(encodeQuery('wait'))
  await waiting
  const half = await RawClient.open(door)
  await untilStats(door, { unauthenticated: 1 })
  const done = door.shutdown('fast')
  const expected = {
    severity: 'FATAL',
    code: '57P01',
    message: 'terminating connection due to administrator command',
  }
  t.match(await idle.goodbye(), expected)
  t.match(await busy.goodbye(), expected)
  t.match(await half.goodbye(), { severity: 'FATAL', code: '57P03' })
  await done
  t.same(
    sessions.map((session) => [session.closedBy, session.closeCalls]),
    [
      ['shutdown', 1],
      ['shutdown', 1],
    ],
  )
  t.equal(await isFree(address), true)
})

t.test('fast: a client that does not read or close cannot hold the door open', async (t) => {
  const { door, events } = await toyDoor({ limits: { lingerMs: 50 } })
  const { client } = await RawClient.login(door)
  client.socket.pause()
  client.write(encodeQuery('big 1000'))
  await once(events, 'behind')
  await door.shutdown('fast')
  t.same(door.stats(), { sessions: 0, unauthenticated: 0 })
  client.socket.destroy()
})

t.test('smart: open sessions go on, new ones are refused, the last one out closes the door', async (t) => {
  const { door, sessions } = await toyDoor()
  const { address } = door
  const { client } = await RawClient.login(door)
  let done = false
  const closing = door.shutdown('smart').then(() => (done = true))
  const late = await RawClient.open(door)
  late.write(encodeStartup({ user: 'u', database: 'postgres' }))
  t.match(await late.goodbye(), { code: '57P03', message: 'the database system is shutting down' })
  client.write(encodeQuery('still'))
  t.equal(types(await client.until('Z')), 'TDCZ')
  t.equal(done, false)
  client.write(TERMINATE)
  await closing
  t.equal(sessions[0]!.closedBy, 'terminate')
  t.equal(await isFree(address), true)
})

t.test('smart does not wait for those who never logged in', async (t) => {
  const { door } = await toyDoor({ limits: { authenticationTimeoutMs: 3_600_000 } })
  const half = await RawClient.open(door)
  await untilStats(door, { unauthenticated: 1 })
  const done = door.shutdown('smart')
  t.match(await half.goodbye(), { code: '57P03' })
  await done
})

t.test('smart becomes fast when it is asked to', async (t) => {
  const { door } = await toyDoor()
  const { client } = await RawClient.login(door)
  const smart = door.shutdown('smart')
  const fast = door.shutdown('fast')
  t.match(await client.goodbye(), { code: '57P01' })
  await Promise.all([smart, fast])
})

t.test('immediate: sockets are cut off without a word', async (t) => {
  const { door, sessions } = await toyDoor()
  const { client } = await RawClient.login(door)
  await door.shutdown('immediate')
  t.same(await client.rest(), [])
  t.equal(sessions[0]!.closedBy, 'shutdown')
})

t.test('all sessions can be ended while the door stays open', async (t) => {
  const { door } = await toyDoor()
  t.teardown(() => door.close())
  const { client } = await RawClient.login(door)
  door.terminateAll()
  t.match(await client.goodbye(), { code: '57P01' })
  const again = await RawClient.login(door)
  again.client.socket.destroy()
})

t.test('the door waits for its sessions to have cleaned up', async (t) => {
  const logger = memoryLogger()
  let cleaned = false
  const door = await createFrontDoor({
    listen: { host: '127.0.0.1', port: 0 },
    authenticate: () => ({ method: 'trust' }),
    logger,
    sessionFactory: () => ({
      parameters: {},
      session: {
        handle: () => undefined,
        cancel: () => undefined,
        close: async () => {
          await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
          cleaned = true
          throw new Error('and fails at it')
        },
      },
    }),
  })
  const { client } = await RawClient.login(door)
  await door.close()
  t.equal(cleaned, true)
  t.match(logger.above('info').at(-1), { level: 'error', message: 'session failed to close' })
  await client.closed
})

t.test('a port that is taken is an error of the caller', async (t) => {
  const { door } = await toyDoor()
  t.teardown(() => door.close())
  await t.rejects(toyDoor({ listen: door.address }), { code: 'EADDRINUSE' })
})
