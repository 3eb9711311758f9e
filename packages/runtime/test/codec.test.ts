import fc from 'fast-check'
import t from 'tap'
import type { Message } from '@mirabelle/messages'
import { crc32c } from '../src/wire/crc32c.ts'
import { decodeBody, encodeFrame, pack, SEPARATE_BYTES, unpack } from '../src/wire/body.ts'
import { FrameDecoder, MAX_FRAME_BYTES, sealedLength } from '../src/wire/frame-decoder.ts'
import { frameOf, HEARTBEAT_FRAME, isHeartbeat, sealedFrameOf, unsealed } from '../src/wire/frame.ts'
import { malformation, MAX_ENTRIES } from '../src/wire/well-formed.ts'

const whole = (message: Message, rid?: number, re?: number): Buffer =>
  Buffer.concat(encodeFrame(message, rid, re))
const bodyOf = (message: Message, rid?: number, re?: number): Buffer =>
  unsealed(whole(message, rid, re).subarray(4))

/** Decodes a stream that arrives in these pieces. */
function decodeAll(pieces: readonly Uint8Array[], limit = MAX_FRAME_BYTES): Buffer[] {
  const bodies: Buffer[] = []
  const decoder = new FrameDecoder(limit, (body) => bodies.push(body))
  decoder.sealed = true
  for (const piece of pieces) decoder.push(Buffer.from(piece))
  return bodies
}

function split(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const at = [0, ...[...cuts].map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end))
}

const message = fc.oneof(
  fc.constant<Message>({ type: 'ok' }),
  fc.record({
    type: fc.constant('query.failed' as const),
    seq: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
    code: fc.string(),
    message: fc.string({ unit: 'binary' }),
  }),
  fc.record({
    type: fc.constant('query.dispatch' as const),
    items: fc.array(
      fc.tuple(
        fc.nat(),
        fc.nat({ max: 9 }),
        fc.nat({ max: 9 }),
        fc.nat({ max: 1 }),
        fc.uint8Array({ maxLength: 300 }),
      ),
    ),
  }),
  fc.record({
    type: fc.constant('copy.bytes' as const),
    bytes: fc.uint8Array({ maxLength: 40_000, size: 'max' }),
  }),
)

/** Views and buffers alike, as lists of numbers. */
const plain = (value: unknown): unknown =>
  value instanceof Uint8Array
    ? Buffer.from(value).toString('hex')
    : Array.isArray(value)
      ? value.map(plain)
      : typeof value === 'object' && value !== null
        ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]))
        : value

t.test(
  'what is encoded decodes to the same message, with its numbers, however the stream is cut',
  async (t) => {
    const envelope = fc.record({ message, rid: fc.option(fc.integer({ min: 1 })), re: fc.boolean() })
    fc.assert(
      fc.property(fc.array(envelope, { minLength: 1, maxLength: 5 }), fc.array(fc.nat()), (sent, cuts) => {
        const stream = Buffer.concat(
          sent.map(({ message, rid, re }) =>
            rid === null ? whole(message) : re ? whole(message, undefined, rid) : whole(message, rid),
          ),
        )
        const got = decodeAll(split(stream, cuts)).map((content) => decodeBody(unsealed(content)))
        t.strictSame(
          got.map(({ message }) => plain(message)),
          sent.map(({ message }) => plain(message)),
        )
        t.same(
          got.map(({ rid, re }) => [rid, re]),
          sent.map(({ rid, re }) =>
            rid === null ? [undefined, undefined] : re ? [undefined, rid] : [rid, undefined],
          ),
        )
      }),
      { numRuns: 150 },
    )
  },
)

t.test('a stream is decoded the same when it is cut at every byte', async (t) => {
  const stream = Buffer.concat([
    whole({ type: 'ok' }),
    whole({ type: 'copy.bytes', bytes: Buffer.alloc(300, 7) }, 4),
    whole({ type: 'ok' }, undefined, 4),
  ])
  const expected = decodeAll([stream])
  t.equal(expected.length, 3)
  t.same(decodeAll([...stream].map((byte) => Uint8Array.of(byte))), expected, 'one byte at a time')
  for (let cut = 0; cut <= stream.length; cut++)
    t.same(decodeAll([stream.subarray(0, cut), stream.subarray(cut)]), expected, `cut at ${cut}`)
})

t.test('a large payload is sent without a copy, and decoded as a view', async (t) => {
  const bytes = Buffer.alloc(SEPARATE_BYTES, 9)
  const parts = encodeFrame({ type: 'copy.bytes', bytes }, 3)
  t.equal(parts.at(-1), bytes, 'the very same bytes')
  const stream = Buffer.concat(parts)
  const [body] = decodeAll([stream])
  const { message, rid } = decodeBody(unsealed(body as Buffer))
  t.equal(rid, 3)
  t.equal((message as Message & { type: 'copy.bytes' }).bytes.buffer, body?.buffer, 'a view of the body')
})

t.test('damage anywhere in a frame is found, also where the body stays well-formed', async (t) => {
  for (const frame of [
    whole({ type: 'query.failed', seq: 7, code: 'cancelled', message: 'the very text' }, undefined, 9),
    Buffer.concat(encodeFrame({ type: 'copy.bytes', bytes: Buffer.alloc(SEPARATE_BYTES, 9) })),
    HEARTBEAT_FRAME,
  ]) {
    const content = frame.subarray(4)
    t.equal(frame.readUInt32BE(0), sealedLength(content.length), 'the length counts checksum and body')
    t.equal(isHeartbeat(unsealed(content)), frame === HEARTBEAT_FRAME)
    const places = Array.from({ length: 200 }, (_, i) => Math.floor((i * content.length) / 200))
    for (const at of [...places, content.length - 1]) {
      const damaged = Buffer.from(content)
      damaged[at] = (damaged[at] as number) ^ 0x10
      t.throws(() => unsealed(damaged), { code: 'frame.bad', message: /damaged on the way/ }, `byte ${at}`)
    }
  }
  t.throws(() => unsealed(Buffer.alloc(4)), { code: 'frame.bad', message: /no room/ })
})

t.test('CRC-32C is that of RFC 3720, for short runs and for long ones', async (t) => {
  const crcOf = (bytes: Uint8Array) => crc32c(bytes, 0, bytes.length, 0)
  t.equal(crcOf(Buffer.from('123456789')), 0xe3069283)
  t.equal(crcOf(Buffer.alloc(32)), 0x8a9136aa)
  t.equal(crcOf(Buffer.alloc(32, 0xff)), 0x62a8ab43)
  t.equal(crcOf(Buffer.from(Array.from({ length: 32 }, (_, i) => i))), 0x46dd794e)
  const long = Buffer.from(Array.from({ length: 301 }, (_, i) => (i * 37) % 251))
  let crc = 0
  for (let at = 0; at < long.length; at += 7) crc = crc32c(long, at, Math.min(at + 7, long.length), crc)
  t.equal(crcOf(long), crc, 'in one go as in pieces')
})

t.test('a single bit that is turned in a length is found before anything is waited for', async (t) => {
  for (const length of [5, 31, 4096, 1_000_000, MAX_FRAME_BYTES]) {
    for (let bit = 0; bit < 32; bit++) {
      const decoder = new FrameDecoder(MAX_FRAME_BYTES, () => t.fail('no body'))
      decoder.sealed = true
      const word = Buffer.alloc(4)
      word.writeUInt32BE((sealedLength(length) ^ (1 << bit)) >>> 0)
      t.throws(
        () => decoder.push(word),
        { code: 'frame.bad', message: /length of a frame/ },
        `${length}, bit ${bit}`,
      )
    }
    const [content] = length > 4096 ? [undefined] : decodeAll([sealedFrameOf(Buffer.alloc(length))])
    if (content !== undefined) t.equal(content.length, length + 4)
  }
})

t.test('a length of zero or beyond the limit is refused before anything is held', async (t) => {
  const decoder = new FrameDecoder(4096, () => t.fail('no body'))
  t.throws(() => decoder.push(Buffer.from([0, 0, 0, 0])), { code: 'frame.bad', message: /zero length/ })
  const before = process.memoryUsage().arrayBuffers
  for (const length of [4097, MAX_FRAME_BYTES, 0xffffffff]) {
    const header = Buffer.alloc(4)
    header.writeUInt32BE(length)
    const fresh = new FrameDecoder(4096, () => t.fail('no body'))
    t.throws(() => fresh.push(header), { code: 'frame.bad', detail: { length, limit: 4096 } })
  }
  const hopeful = Array.from({ length: 20 }, () => {
    const one = new FrameDecoder(MAX_FRAME_BYTES, () => t.fail('no body'))
    one.push(Buffer.from([0x04, 0, 0, 0]))
    t.equal(one.unfinishedBytes, 4)
    return one
  })
  t.equal(hopeful.length, 20)
  t.ok(process.memoryUsage().arrayBuffers - before < 8 * 1024 * 1024, 'a large length alone holds no memory')
})

t.test('a large frame is gathered in a time that grows with its size only', async (t) => {
  const body = Buffer.alloc(24 * 1024 * 1024, 1)
  const stream = sealedFrameOf(body)
  const pieces: Buffer[] = []
  for (let at = 0; at < stream.length; at += 1500) pieces.push(stream.subarray(at, at + 1500))
  const start = performance.now()
  const [got] = decodeAll(pieces)
  t.ok(got?.subarray(4).equals(body))
  t.ok(
    performance.now() - start < 5000,
    `${Math.round(performance.now() - start)} ms for 24 MiB in small pieces`,
  )
})

t.test('a stopped decoder gives no more bodies, also from the chunk that it is in', async (t) => {
  let bodies = 0
  const decoder = new FrameDecoder(100, () => {
    bodies++
    decoder.stop()
  })
  decoder.push(Buffer.concat([frameOf(pack(1)), frameOf(pack(2))]))
  decoder.push(frameOf(pack(3)))
  t.equal(bodies, 1)
})

t.test('a message over the limit of a frame is refused where it is sent', async (t) => {
  const bytes = Buffer.alloc(MAX_FRAME_BYTES)
  t.throws(() => encodeFrame({ type: 'copy.bytes', bytes }), { code: 'frame.bad', message: /limit/ })
})

t.test('a body that is no message is refused with a reason', async (t) => {
  const bad: [string, unknown, string][] = [
    ['not an object', [1, 2], 'message.bad'],
    ['nil', null, 'message.bad'],
    ['an unknown type', { type: 'no.such' }, 'message.bad'],
    ['a type of the prototype', { type: 'constructor' }, 'message.bad'],
    ['a missing field', { type: 'copy.end' }, 'message.bad'],
    ['a field of the wrong shape', { type: 'copy.end', copyId: 1 }, 'message.bad'],
    ['a broken request number', { type: 'ok', rid: -1 }, 'message.bad'],
    ['a request number of zero', { type: 'ok', rid: 0 }, 'message.bad'],
    ['an answer to number zero', { type: 'ok', re: 0 }, 'message.bad'],
    ['a broken answer number', { type: 'ok', re: 'x' }, 'message.bad'],
  ]
  for (const [name, value, code] of bad) t.throws(() => decodeBody(pack(value)), { code }, name)
})

t.test('malformed bodies are refused before they are decoded', async (t) => {
  const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
  const bad: [string, string][] = [
    ['a list that claims 2^32-1 entries', 'dd ffffffff 01'],
    ['a map that claims 2^32-1 entries', 'df ffffffff a1 61 01'],
    ['text longer than the body', 'db 7fffffff 61'],
    ['bytes longer than the body', 'c6 00000010 00'],
    ['a cut number', 'cb 0000'],
    ['an extension', 'd4 01 00'],
    ['a record definition of msgpackr', 'd4 72 40 91 a1 61 01'],
    ['the byte that msgpack never uses', 'c1'],
    ['a map with a number as key', '81 01 01'],
    ['bytes behind the value', 'c0 c0'],
    ['an empty body', ''],
    ['a hundred nested lists', '91'.repeat(100) + 'c0'],
  ]
  for (const [name, text] of bad) {
    t.type(malformation(hex(text)), 'string', name)
    t.throws(() => unpack(hex(text)), { code: 'frame.bad' }, name)
  }
})

t.test('a container of too many entries is refused, though all of them are there', async (t) => {
  const listOf = (entries: number): Buffer => {
    const list = Buffer.alloc(5 + entries)
    list[0] = 0xdd
    list.writeUInt32BE(entries, 1)
    return list
  }
  t.equal(malformation(listOf(2 * MAX_ENTRIES)), undefined)
  t.match(malformation(listOf(2 * MAX_ENTRIES + 1)), /a container of 2000001 values/)
})

t.test('a large payload beside few or many other fields', async (t) => {
  const bytes = Buffer.alloc(SEPARATE_BYTES, 9)
  for (let others = 10; others < 18; others++) {
    const more = Object.fromEntries(Array.from({ length: others }, (_, i) => [`field${i}`, i]))
    const sent = { type: 'copy.bytes', bytes, ...more } as Message
    t.same(plain(unpack(bodyOf(sent))), plain(sent), `${others} others`)
  }
})

t.test('random bodies are refused or decoded, never anything else', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeBody(bytes)
      } catch (error) {
        t.match((error as { code: string }).code, /^(frame|message)\.bad$/)
      }
    }),
    { numRuns: 2000 },
  )
})

t.test('a message that was damaged is refused or is another valid message', async (t) => {
  const body = bodyOf({ type: 'query.dispatch', items: [[1, 1, 0, 0, Buffer.from('Q')]] })
  for (let at = 0; at < body.length; at++)
    for (let bit = 0; bit < 8; bit++) {
      const damaged = Buffer.from(body)
      damaged[at] = (damaged[at] as number) ^ (1 << bit)
      try {
        decodeBody(damaged)
      } catch (error) {
        t.match((error as { code: string }).code, /^(frame|message)\.bad$/)
      }
    }
})

t.test('a key called __proto__ changes no prototype', async (t) => {
  const body = Buffer.concat([
    Buffer.from([0x82, 0xa4]),
    Buffer.from('type'),
    Buffer.from([0xa2]),
    Buffer.from('ok'),
  ])
  const evil = Buffer.concat([
    body,
    Buffer.from([0xa9]),
    Buffer.from('__proto__'),
    Buffer.from([0x81, 0xa1, 0x78, 0x01]),
  ])
  const { message } = decodeBody(evil)
  t.equal(Object.getPrototypeOf(message), Object.prototype)
  t.equal((message as unknown as { x?: number }).x, undefined)
})
