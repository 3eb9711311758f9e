import { Duplex } from 'node:stream'
import t from 'tap'
import { LOW_WATER_BYTES, WriteQueue } from '../src/net/write-queue.ts'
import { realClock } from '../src/real/real-clock.ts'

/** A socket that counts its writes and takes them when told to. */
class CountingSocket extends Duplex {
  readonly writes: Buffer[] = []
  #taken: (() => void)[] = []

  takeAll(): void {
    const taken = this.#taken
    this.#taken = []
    for (const done of taken) done()
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.writes.push(chunk)
    this.#taken.push(done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.writes.push(Buffer.concat(chunks.map(({ chunk }) => chunk)))
    this.#taken.push(done)
  }

  override _read(): void {}
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test('what is queued in one turn of the event loop is one write', async (t) => {
  const socket = new CountingSocket()
  const queue = new WriteQueue(socket, realClock, 1e9)
  const sent: Buffer[] = []
  for (let i = 0; i < 100; i++) {
    const part = Buffer.alloc(i % 10 === 0 ? 10_000 : 50, i)
    sent.push(part)
    queue.push([part])
    if (i === 50) await Promise.resolve()
  }
  t.equal(socket.writes.length, 0, 'not before the turn ends')
  await turn()
  t.equal(socket.writes.length, 1)
  t.ok(socket.writes[0]?.equals(Buffer.concat(sent)), 'in order')
  queue.push([Buffer.from('next')])
  await turn()
  socket.takeAll()
  t.equal(socket.writes.length, 2, 'the next turn is the next write')
})

t.test('beyond its limit the queue says so and takes nothing of the frame', async (t) => {
  const queue = new WriteQueue(new CountingSocket(), realClock, 1000)
  queue.push([Buffer.alloc(900)])
  t.throws(() => queue.push([Buffer.alloc(60), Buffer.alloc(60)]), { code: 'queue.full' })
  t.equal(queue.bufferedBytes, 900)
  await turn()
  t.throws(
    () => queue.push([Buffer.alloc(101)]),
    { code: 'queue.full' },
    'what the system has not taken counts',
  )
})

t.test('drained() resolves when the system has taken enough, and at the close', async (t) => {
  const socket = new CountingSocket()
  const queue = new WriteQueue(socket, realClock, 1e9)
  await queue.drained()
  queue.push([Buffer.alloc(2 * LOW_WATER_BYTES)])
  let drained = false
  const waiting = queue.drained().then(() => (drained = true))
  await turn()
  t.notOk(drained)
  socket.takeAll()
  await waiting
  t.equal(queue.bufferedBytes, 0)
  queue.push([Buffer.alloc(2 * LOW_WATER_BYTES)])
  const atClose = queue.drained()
  queue.close()
  await atClose
})

t.test('a held queue lets nothing out until it is released', async (t) => {
  const socket = new CountingSocket()
  const queue = new WriteQueue(socket, realClock, 1e9)
  queue.hold()
  queue.push([Buffer.from('a')])
  await turn()
  t.equal(socket.writes.length, 0)
  queue.release()
  t.equal(socket.writes.length, 1)
})
