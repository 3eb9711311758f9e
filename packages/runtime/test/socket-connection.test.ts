// A connection without a network: what comes before anybody listens.
import t, { type Test } from 'tap'
import { PassThrough } from 'node:stream'
import type { Message } from '@mirabelle/messages'
import { SocketConnection } from '../src/net/socket-connection.ts'
import type { PeerSocket } from '../src/net/peer-socket.ts'
import { realClock } from '../src/real/real-clock.ts'
import { encodeFrame } from '../src/wire/body.ts'
import { FrameDecoder, MAX_FRAME_BYTES } from '../src/wire/frame-decoder.ts'
import { recordingLogger } from './suites/recording-logger.ts'
import type { Party } from '../src/ports/network.ts'

const peer: Party = { clusterId: 'c', kind: 'instance', dbid: 2, content: 0, name: 'h1' }

/** A connection whose socket and whose next turn are in the hands of the test. */
function connectionOf(t: Test) {
  const socket = Object.assign(new PassThrough(), {
    remoteAddress: '127.0.0.1',
    remotePort: 1,
    onData: () => undefined,
    onEnd: () => undefined,
  }) as unknown as PeerSocket
  const soon: (() => void)[] = []
  const connection = new SocketConnection({
    socket,
    decoder: new FrameDecoder(MAX_FRAME_BYTES, () => undefined),
    peer,
    clock: { ...realClock, soon: (fn) => soon.push(fn) },
    log: recordingLogger().log,
    silenceTimeoutMs: 0,
  })
  t.teardown(() => connection.abandon())
  return {
    socket,
    connection,
    /** A message comes, told from others by its number. */
    comes: (seq: number) => socket.onData(Buffer.concat(encodeFrame(numbered(seq)))),
    turn: () => {
      for (const fn of soon.splice(0)) fn()
    },
  }
}

const numbered = (seq: number): Message => ({ type: 'query.failed', seq, code: '', message: '' })

t.test(
  'what comes between the setting of handlers and the next turn does not overtake what came before',
  async (t) => {
    const { connection, comes, turn } = connectionOf(t)
    const got: number[] = []
    comes(1)
    comes(2)
    connection.setHandlers({
      onMessage: (message) => void got.push((message as Message & { type: 'query.failed' }).seq),
      onClose: () => undefined,
    })
    comes(3)
    t.same(got, [], 'handlers are called in a turn of their own')
    turn()
    t.same(got, [1, 2, 3])
    comes(4)
    t.same(got, [1, 2, 3, 4])
  },
)

t.test('while nobody listens a thousand messages are held, and no more is read', async (t) => {
  const { connection, socket, comes, turn } = connectionOf(t)
  socket.resume()
  for (let seq = 1; seq < 1000; seq++) comes(seq)
  t.notOk(socket.isPaused())
  comes(1000)
  t.ok(socket.isPaused())
  let count = 0
  connection.setHandlers({ onMessage: () => void count++, onClose: () => undefined })
  comes(1001)
  turn()
  t.equal(count, 1001)
  t.notOk(socket.isPaused(), 'it is read on')
})
