import fc from 'fast-check'
import t from 'tap'
import type { PgError } from '@mirabelle/pgwire'
import {
  ByteQueue,
  encodeBind,
  encodeDescribe,
  encodeExecute,
  encodeParse,
  encodePassword,
  encodeQuery,
  encodeStartup,
  Frontend,
  FrontendParser,
  HARD_MAX_MESSAGE_BYTES,
  SYNC,
  TERMINATE,
} from '@mirabelle/pgwire'

const running = (maxMessageBytes?: number): FrontendParser => {
  const parser = new FrontendParser(maxMessageBytes)
  parser.enter('running')
  return parser
}

const drain = (parser: FrontendParser): Buffer[] => {
  const out: Buffer[] = []
  for (let message = parser.next(); message !== undefined; message = parser.next()) out.push(message.bytes)
  return out
}

const stream = [
  encodeQuery('select 1'),
  encodeParse({ statement: 's', query: 'select $1', parameterTypes: [25] }),
  encodeBind({ portal: 'p', statement: 's', parameters: ['größe', null, Buffer.from([0, 1])] }),
  encodeDescribe({ kind: 'P', name: 'p' }),
  encodeExecute({ portal: 'p', maxRows: 7 }),
  SYNC,
  encodeQuery('x'.repeat(5_000)),
  TERMINATE,
]

t.test('the same messages come out wherever the stream is split', async (t) => {
  const whole = Buffer.concat(stream)
  for (let at = 0; at <= whole.length; at += 1) {
    const parser = running()
    const got: Buffer[] = []
    for (const part of [whole.subarray(0, at), whole.subarray(at)]) {
      parser.push(Buffer.from(part))
      got.push(...drain(parser))
    }
    if (got.length !== stream.length || !got.every((bytes, index) => bytes.equals(stream[index]!))) {
      t.fail(`split at ${at}`)
    }
    if (parser.queuedBytes !== 0) t.fail(`bytes left after a split at ${at}`)
  }
  t.pass(`${whole.length + 1} splits`)
})

t.test('the same messages come out byte by byte, and in any pieces', async (t) => {
  const whole = Buffer.concat(stream)
  const bytewise = running()
  const got: Buffer[] = []
  for (const byte of whole) {
    bytewise.push(Buffer.from([byte]))
    got.push(...drain(bytewise))
  }
  t.same(got, stream)
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1, maxLength: 40 }), (sizes) => {
      const parser = running()
      const out: Buffer[] = []
      for (let at = 0, turn = 0; at < whole.length; turn += 1) {
        const size = sizes[turn % sizes.length]!
        parser.push(Buffer.from(whole.subarray(at, at + size)))
        at += size
        if (turn % 3 === 0) out.push(...drain(parser))
      }
      out.push(...drain(parser))
      return Buffer.concat(out).equals(whole) && out.length === stream.length
    }),
  )
})

t.test('a byte queue gives back what was put in, in order, whatever is taken', async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.uint8Array({ maxLength: 5_000 }), fc.nat({ max: 6_000 })), { maxLength: 60 }),
      (steps) => {
        const queue = new ByteQueue()
        let put = Buffer.alloc(0)
        const taken: Buffer[] = []
        for (const step of steps) {
          if (typeof step === 'number') taken.push(queue.take(Math.min(step, queue.length)))
          else {
            put = Buffer.concat([put, step])
            queue.push(Buffer.from(step))
          }
        }
        const left = queue.length
        if (left > 0) taken.push(queue.take(left))
        return Buffer.concat(taken).equals(put)
      },
    ),
  )
  t.throws(() => new ByteQueue().take(1), RangeError)
})

t.test('a message inside one chunk is a view, not a copy', async (t) => {
  const chunk = Buffer.concat([SYNC, encodeQuery('a')])
  const parser = running()
  parser.push(chunk)
  for (const bytes of drain(parser)) t.equal(bytes.buffer, chunk.buffer)
})

t.test('bad headers are refused before their body is waited for', async (t) => {
  const header = (type: string, length: number): Buffer => {
    const bytes = Buffer.alloc(5)
    bytes.write(type)
    bytes.writeInt32BE(length, 1)
    return bytes
  }
  const cases: [string, Buffer, RegExp][] = [
    ['a length below 4', header('Q', 3), /invalid message length/],
    ['a negative length', header('Q', -1), /invalid message length/],
    ['a query over the limit', header('Q', 20_001), /4 to 20000/],
    ['a long Sync', header('S', 10_001), /invalid message length/],
    ['an unknown type', Buffer.from('!'), /invalid frontend message type 33/],
    ['a password out of time', header('p', 10), /invalid frontend message type 112/],
  ]
  for (const [name, bytes, pattern] of cases) {
    const parser = running(20_000)
    parser.push(bytes)
    const error = t.throws(() => parser.next()) as PgError
    t.match(`${error.message} ${error.fields.detail}`, pattern, name)
    t.equal(error.code, '08P01')
    t.equal(error.severity, 'FATAL')
  }
})

t.test('a promised length costs no memory before the bytes arrive', async (t) => {
  const parser = running()
  const bytes = Buffer.alloc(5)
  bytes.write('Q')
  bytes.writeInt32BE(60 * 1024 * 1024, 1)
  parser.push(bytes)
  t.equal(parser.next(), undefined)
  t.equal(parser.queuedBytes, 5)
})

t.test('while a client is authenticated it may only send passwords', async (t) => {
  const parser = new FrontendParser()
  parser.enter('authentication')
  parser.push(encodePassword(Buffer.from('secret')))
  t.equal(parser.next()?.type, Frontend.password)
  parser.push(encodeQuery('select 1'))
  t.throws(() => parser.next(), { code: '08P01' })
  const long = new FrontendParser()
  long.enter('authentication')
  long.push(encodePassword(Buffer.alloc(70_000)))
  t.throws(() => long.next(), { code: '08P01' })
})

t.test('startup packets are cut out, split anywhere, and bounded', async (t) => {
  const packet = encodeStartup({ user: 'me', database: 'postgres' })
  for (let at = 0; at <= packet.length; at += 1) {
    const parser = new FrontendParser()
    parser.push(Buffer.from(packet.subarray(0, at)))
    const early = parser.nextStartup()
    parser.push(Buffer.from(packet.subarray(at)))
    t.same(early ?? parser.nextStartup(), packet.subarray(4))
  }
  for (const length of [0, 4, 7, 10_001, -5, 0x47455420]) {
    const parser = new FrontendParser()
    const bytes = Buffer.alloc(4)
    bytes.writeInt32BE(length)
    parser.push(bytes)
    t.throws(() => parser.nextStartup(), { code: '08P01' }, `length ${length}`)
  }
})

t.test('the limit of a message must make sense', async (t) => {
  t.throws(() => new FrontendParser(10), RangeError)
  t.throws(() => new FrontendParser(HARD_MAX_MESSAGE_BYTES + 1), RangeError)
  t.throws(() => new FrontendParser(Number.NaN), RangeError)
})
