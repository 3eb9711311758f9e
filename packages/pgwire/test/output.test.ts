import { Duplex } from 'node:stream'
import t from 'tap'
import { Output } from '../src/door/output.ts'
import { ManualClock } from './support/manual-clock.ts'

/** A socket whose other side takes a write only when the test says so. */
class StuckSocket extends Duplex {
  readonly writes: Buffer[] = []
  #taken: (() => void)[] = []

  override _write(chunk: Buffer, _encoding: string, taken: () => void): void {
    this.writes.push(chunk)
    this.#taken.push(taken)
  }

  override _read(): void {
    // Nothing ever comes from the other side.
  }

  /** The other side takes all that was written; resolves when the stream has seen it. */
  async takeAll(): Promise<void> {
    for (const taken of this.#taken.splice(0)) taken()
    await nextTurn()
  }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const make = (highWaterBytes = 1_000_000) => {
  const socket = new StuckSocket()
  const clock = new ManualClock()
  let stalled = 0
  const output = new Output(socket, {
    clock,
    highWaterBytes,
    stallTimeoutMs: 100,
    onStalled: () => (stalled += 1),
  })
  return { socket, clock, output, stalls: () => stalled }
}

const settled = async (promise: Promise<void>): Promise<boolean> => {
  let done = false
  void promise.then(() => (done = true))
  await nextTurn()
  return done
}

t.test('what is sent in one tick leaves in one write', async (t) => {
  const { socket, output } = make()
  for (const word of ['a', 'b', 'c']) output.send(Buffer.from(word))
  t.equal(socket.writes.length, 0)
  await nextTurn()
  t.same(socket.writes, [Buffer.from('abc')])
})

t.test('large buffers are cut into windows and not copied, and order is kept', async (t) => {
  const { socket, output } = make()
  const large = Buffer.alloc(600_000, 'x')
  output.send(Buffer.from('first'))
  output.send(large)
  output.send(Buffer.from('last'))
  for (let turn = 0; turn < 10; turn += 1) await socket.takeAll()
  await nextTurn()
  t.ok(socket.writes.every((write) => write.length <= 256 * 1024))
  t.equal(socket.writes[1]!.buffer, large.buffer)
  t.same(Buffer.concat(socket.writes), Buffer.concat([Buffer.from('first'), large, Buffer.from('last')]))
  t.equal(output.bufferedBytes, 0)
})

t.test('drained waits for the other side, and only while too much is buffered', async (t) => {
  const { socket, output } = make(1_000)
  output.send(Buffer.alloc(999))
  t.equal(await settled(output.drained()), true)
  output.send(Buffer.alloc(1))
  t.equal(output.full, true)
  const drained = output.drained()
  t.equal(await settled(drained), false)
  await socket.takeAll()
  t.equal(await settled(drained), true)
})

for (const way of ['end', 'close'] as const) {
  t.test(`${way} wakes who waits although the other side takes nothing`, async (t) => {
    const { socket, clock, output, stalls } = make(1_000)
    output.send(Buffer.alloc(2_000))
    const drained = output.drained()
    t.equal(await settled(drained), false)
    output[way]()
    t.equal(await settled(drained), true)
    t.equal(clock.fire(100), 0, 'nobody is watched any more')
    t.equal(stalls(), 0)
    output.send(Buffer.from('too late'))
    t.equal(await settled(output.drained()), true)
    await socket.takeAll()
    t.equal(Buffer.concat(socket.writes).length, 2_000)
    t.equal(socket.writableEnded, way === 'end', 'end comes after what was sent')
  })
}

t.test('a stall is a whole period without a write, while somebody waits', async (t) => {
  const { socket, clock, output, stalls } = make(300_000)
  output.send(Buffer.alloc(700_000))
  t.equal(clock.pending(100), 0, 'nobody waits, nobody watches')
  const drained = output.drained()
  await nextTurn()
  await socket.takeAll()
  t.equal(clock.fire(100), 1)
  t.equal(stalls(), 0, 'something was written')
  t.equal(await settled(drained), false)
  t.equal(clock.fire(100), 1)
  t.equal(stalls(), 1)
})
