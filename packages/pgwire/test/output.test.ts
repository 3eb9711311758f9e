import { Duplex } from 'node:stream'
import t from 'tap'
import { Output, SLOW_MS } from '../src/door/output.ts'
import { Spill, SpillBudget, type SpillFile } from '../src/door/spill.ts'
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

// ---- a client that is slower than its answer

/** A file in memory. */
class MemoryFile implements SpillFile {
  bytes = Buffer.alloc(0)
  closed = false
  failWrites = false
  failReads = false

  async write(position: number, bytes: Uint8Array): Promise<void> {
    await nextTurn()
    if (this.failWrites) throw new Error('no room')
    this.bytes = Buffer.concat([this.bytes.subarray(0, position), bytes])
  }

  async read(position: number, length: number): Promise<Uint8Array> {
    await nextTurn()
    if (this.failReads) throw new Error('EIO')
    return Buffer.from(this.bytes.subarray(position, position + length))
  }

  close(): Promise<void> {
    this.closed = true
    return Promise.resolve()
  }
}

/** As in earnest more than one window. */
const HIGH_WATER = 600_000

function makeSpilling({ limitBytes = 1e9, budget = new SpillBudget(1e9) } = {}) {
  const socket = new StuckSocket()
  const clock = new ManualClock()
  const files: MemoryFile[] = []
  const full: string[] = []
  let lost: unknown
  const output = new Output(socket, {
    clock,
    highWaterBytes: HIGH_WATER,
    stallTimeoutMs: 100,
    onStalled: () => undefined,
    onLost: (error) => (lost = error),
    spill: ({ onRoom }) =>
      new Spill({
        limitBytes,
        budget,
        onRoom,
        onFull: (reason) => full.push(reason),
        open: () => {
          files.push(new MemoryFile())
          return Promise.resolve(files.at(-1) as MemoryFile)
        },
      }),
  })
  return { socket, clock, output, files, full, lost: () => lost }
}

/** Numbered messages, so that what comes out can be compared with what went in. */
const message = (i: number, bytes = 70_000): Buffer => Buffer.alloc(bytes, `${i},`)

async function takeEverything(socket: StuckSocket, output: Output): Promise<void> {
  for (let turn = 0; turn < 200 && (turn < 20 || output.bufferedBytes > 0); turn += 1) await socket.takeAll()
}

/** Sends numbered messages, and keeps them to be compared. */
function sender(output: Output): { readonly sent: Buffer[]; readonly send: (bytes: Buffer) => void } {
  const sent: Buffer[] = []
  const send = (bytes: Buffer): void => {
    sent.push(bytes)
    output.send(bytes)
  }
  return { sent, send }
}

/** Somebody waits for the client until it counts as slow. */
async function becomeSlow(output: Output, clock: ManualClock, send: (bytes: Buffer) => void): Promise<void> {
  for (let i = 0; i < 12; i += 1) send(message(i))
  const room = output.drained()
  clock.fire(SLOW_MS)
  await room
}

t.test('whoever makes an answer for a slow client does not wait for it, and the order is kept', async (t) => {
  const { socket, clock, output, files } = makeSpilling()
  const { sent, send } = sender(output)
  for (let i = 0; i < 12; i += 1) send(message(i))
  const first = output.drained()
  t.equal(await settled(first), false, 'a client may be slow for a moment')
  t.equal(clock.fire(SLOW_MS), 1)
  await first
  for (let i = 12; i < 300; i += 1) {
    send(message(i))
    if (output.full) await output.drained()
  }
  t.ok(output.bufferedBytes < HIGH_WATER, 'it is not in memory')
  t.equal(files.length, 1)
  t.notOk(files[0]?.closed)
  await takeEverything(socket, output)
  t.ok(Buffer.concat(socket.writes).equals(Buffer.concat(sent)), 'all of it, in order')
  t.ok(files[0]?.closed, 'the file is gone when it has been read')
  send(message(300))
  await socket.takeAll()
  t.ok(Buffer.concat(socket.writes).equals(Buffer.concat(sent)), 'and what comes next goes to the socket')
})

t.test('what is read and what is written at the same time comes out in order', async (t) => {
  const { socket, clock, output } = makeSpilling()
  const { sent, send } = sender(output)
  await becomeSlow(output, clock, send)
  for (let i = 12; i < 400; i += 1) {
    send(message(i, 1 + ((i * 977) % 40_000)))
    if (i % 3 === 0) await socket.takeAll()
    if (i % 7 === 0) await nextTurn()
  }
  output.end()
  await takeEverything(socket, output)
  t.ok(Buffer.concat(socket.writes).equals(Buffer.concat(sent)))
  t.ok(socket.writableEnded, 'the end comes behind what was in the file')
})

t.test('a client that keeps up needs no file', async (t) => {
  const { socket, clock, output, files } = makeSpilling()
  for (let i = 0; i < 10; i += 1) {
    output.send(message(i, 700_000))
    const drained = output.drained()
    for (let turn = 0; turn < 5; turn += 1) await socket.takeAll()
    t.equal(await settled(drained), true)
  }
  t.equal(clock.pending(SLOW_MS), 0, 'it has read all there was')
  t.equal(files.length, 0)
})

for (const [what, options, failWrites] of [
  ['its limit', { limitBytes: 1_500_000 }, false],
  ['the budget of all', { budget: new SpillBudget(1_500_000) }, false],
  ['a disk without room', {}, true],
] as const) {
  t.test(`at ${what} whoever makes the answer waits, and nothing is lost`, async (t) => {
    const { socket, clock, output, files, full } = makeSpilling(options)
    const { sent, send } = sender(output)
    await becomeSlow(output, clock, send)
    if (failWrites) (files[0] as MemoryFile).failWrites = true
    let waited: Promise<void> | undefined
    for (let i = 12; i < 100 && waited === undefined; i += 1) {
      send(message(i))
      await nextTurn()
      await nextTurn()
      if (output.full) waited = output.drained()
    }
    t.equal(full.length, 1, full[0] ?? '')
    t.equal(waited === undefined ? true : await settled(waited), false, 'it waits for the client')
    await takeEverything(socket, output)
    await waited
    t.ok(Buffer.concat(socket.writes).equals(Buffer.concat(sent)))
    t.ok(files[0]?.closed)
  })
}

t.test('what cannot be read again is told, and nothing behind it is sent', async (t) => {
  const { socket, clock, output, files, lost } = makeSpilling()
  for (let i = 0; i < 50; i += 1) output.send(message(i))
  const first = output.drained()
  clock.fire(SLOW_MS)
  await first
  const file = files[0] as MemoryFile
  file.failReads = true
  await takeEverything(socket, output)
  t.match(lost(), { message: 'EIO' })
  const written = Buffer.concat(socket.writes).length
  output.close()
  await nextTurn()
  t.equal(Buffer.concat(socket.writes).length, written)
  t.ok(file.closed)
})
