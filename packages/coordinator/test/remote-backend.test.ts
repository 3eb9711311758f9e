/** What comes over a dispatch connection reaches the lane as it was asked for. */
import t from 'tap'
import { DispatchFlag, type Message, type MessageOf } from '@mirabelle/messages'
import { openRemoteBackend } from '../src/lanes/remote-backend.ts'
import { fakePorts } from './support/fake-ports.ts'
import { FakeNetwork } from './support/fake-network.ts'
import { ManualClock } from './support/manual-clock.ts'

async function opened() {
  const clock = new ManualClock()
  const network = new FakeNetwork(clock)
  network.answers.set(1, () => ({
    type: 'dispatch.opened',
    timeline: 1,
    lsn: 1,
    generation: 1,
    settledFloor: 0,
  }))
  const done = new Map<number, string>()
  const streamed = new Map<number, string>()
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()
  const backend = await openRemoteBackend(
    { dbid: 2, content: 0, endpoint: { addresses: ['127.0.0.1'], port: 1 } },
    {
      ports: { ...fakePorts(clock), network },
      hello: () => ({}) as never,
      epoch: () => 1,
      incarnation: 'one',
      connectTimeoutMs: 1_000,
      silenceTimeoutMs: 0,
    },
    {
      onDone: (seq, { output }) => done.set(seq, text(output)),
      onFailed: (seq, { code }) => done.set(seq, code),
      onOutput: (seq, chunk) => void streamed.set(seq, (streamed.get(seq) ?? '') + text(chunk)),
      onLost: () => undefined,
    },
    1,
  )
  const says = (message: Message) => network.connections[0]?.says(message)
  return {
    done,
    streamed,
    send: (seq: number, flags: number) => backend.send(seq, Buffer.from('Q'), 1, 0, flags),
    piece: (seq: number, chunk: string) => says({ type: 'query.output', seq, chunk: Buffer.from(chunk) }),
    end: (...items: [number, string][]) =>
      says({
        type: 'query.done',
        items: items.map(([seq, rest]) => [seq, 1, 'I', 1, Buffer.from(rest)]),
      } satisfies MessageOf<'query.done'>),
    fail: (seq: number) => says({ type: 'query.failed', seq, code: 'cancelled', message: 'no' }),
  }
}

t.test('a long answer that nobody takes in pieces is whole', async (t) => {
  const { done, streamed, send, piece, end, fail } = await opened()
  send(1, 0)
  send(2, DispatchFlag.stream)
  send(3, 0)
  send(4, 0)
  piece(1, 'a')
  piece(1, 'b')
  end([1, 'c'])
  piece(2, 'd')
  end([2, 'e'])
  piece(3, 'f')
  fail(3)
  end([4, 'g'])
  t.same(
    [...done],
    [
      [1, 'abc'],
      [2, 'e'],
      [3, 'cancelled'],
      [4, 'g'],
    ],
  )
  t.same([...streamed], [[2, 'd']])
})
