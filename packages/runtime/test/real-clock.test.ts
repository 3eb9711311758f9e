import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { realClock } from '../src/real/real-clock.ts'

async function pair(t: Test): Promise<[Socket, Socket]> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const accepted = once(server, 'connection')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [peer] = (await accepted) as [Socket]
  t.teardown(() => {
    socket.destroy()
    peer.destroy()
  })
  return [socket, peer]
}

/** Nothing else runs in this process for so long, ms. */
function holdUp(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

t.test('a process that was held up reads what has arrived before its late timers run', async (t) => {
  const [socket, peer] = await pair(t)
  const seen: string[] = []
  socket.on('data', () => seen.push('data'))
  await new Promise<void>((resolve) => {
    realClock.setTimer(20, () => {
      seen.push('timer')
      resolve()
    })
    // Written, but this process does not come to read it before its timer is due.
    peer.write('answer', () => holdUp(200))
  })
  t.same(seen, ['data', 'timer'])
})

t.test('a late timer that is cleared by what has arrived does not run', async (t) => {
  const [socket, peer] = await pair(t)
  const seen: string[] = []
  const late = realClock.setTimer(20, () => seen.push('timer'))
  socket.on('data', () => late.clear())
  peer.write('answer', () => holdUp(200))
  await once(socket, 'data')
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  t.same(seen, [])
})
