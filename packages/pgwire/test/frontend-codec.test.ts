import t from 'tap'
import {
  encode,
  encodeBind,
  encodeCancelRequest,
  encodeClose,
  encodeCopyFail,
  encodeDescribe,
  encodeExecute,
  encodeGssencRequest,
  encodeParse,
  encodeQuery,
  encodeSaslInitialResponse,
  encodeSslRequest,
  encodeStartup,
  Frontend,
  readBind,
  readClose,
  readCopyFail,
  readDescribe,
  readEmpty,
  readExecute,
  readParse,
  readQuery,
  readSaslInitialResponse,
  readStartupPacket,
  settingsOf,
  SYNC,
} from '@mirabelle/pgwire'

t.test('what is written is what is read', async (t) => {
  t.equal(readQuery({ bytes: encodeQuery('select ’1’') }), 'select ’1’')
  t.same(
    readParse({ bytes: encodeParse({ statement: 's', query: 'q', parameterTypes: [23, 4_000_000_000] }) }),
    {
      statement: 's',
      query: 'q',
      parameterTypes: [23, 4_000_000_000],
    },
  )
  const bind = { portal: 'p', statement: 's', parameterFormats: [0, 1], resultFormats: [1] }
  const parameters = ['text', Buffer.from([1, 2])]
  const read = readBind({ bytes: encodeBind({ ...bind, parameters }) })
  t.same(read, { ...bind, parameters: [Buffer.from('text'), Buffer.from([1, 2])] })
  t.same(readBind({ bytes: encodeBind({ parameters: [null, ''] }) }).parameters, [null, Buffer.alloc(0)])
  t.same(readDescribe({ bytes: encodeDescribe({ kind: 'S', name: 'x' }) }), { kind: 'S', name: 'x' })
  t.same(readClose({ bytes: encodeClose({ kind: 'P', name: '' }) }), { kind: 'P', name: '' })
  t.same(readExecute({ bytes: encodeExecute({ portal: 'p', maxRows: 5 }) }), { portal: 'p', maxRows: 5 })
  t.equal(readCopyFail({ bytes: encodeCopyFail('no more') }), 'no more')
  readEmpty({ bytes: SYNC })
  t.same(readSaslInitialResponse({ bytes: encodeSaslInitialResponse('SCRAM-SHA-256', Buffer.from('n,,')) }), {
    mechanism: 'SCRAM-SHA-256',
    response: Buffer.from('n,,'),
  })
})

t.test('the bytes are those of the protocol', async (t) => {
  t.equal(encodeQuery('ab').toString('hex'), '5100000007616200')
  t.equal(encodeBind({}).toString('hex'), '420000000c0000000000000000')
  t.equal(encodeSslRequest().toString('hex'), '0000000804d2162f')
  t.equal(encodeGssencRequest().toString('hex'), '0000000804d21630')
  t.equal(encodeCancelRequest(1, Buffer.from('key!')).toString('hex'), '0000001004d2162e000000016b657921')
})

t.test('a body that does not fit its type is a protocol violation that names the message', async (t) => {
  const message = (type: number, ...body: number[]): { bytes: Buffer } => ({
    bytes: encode((writer) => writer.begin(type).raw(Buffer.from(body)).end()),
  })
  const cases: [string, () => unknown, RegExp][] = [
    ['a query without its end', () => readQuery(message(Frontend.query, 65)), /Query/],
    [
      'a query with more behind it',
      () => readQuery(message(Frontend.query, 65, 0, 66)),
      /1 bytes too many in the Query/,
    ],
    ['a parse cut off', () => readParse(message(Frontend.parse, 0, 65, 0, 0)), /Parse/],
    ['parameter types that are not there', () => readParse(message(Frontend.parse, 0, 0, 255, 255)), /Parse/],
    ['a describe of nothing known', () => readDescribe(message(Frontend.describe, 88, 0)), /subtype "X"/],
    [
      'a bind with format 2',
      () => readBind(message(Frontend.bind, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0)),
      /format code: 2/,
    ],
    [
      'a value of length -2',
      () => readBind(message(Frontend.bind, 0, 0, 0, 0, 0, 1, 255, 255, 255, 254, 0, 0)),
      /length -2/,
    ],
    [
      'a value longer than the message',
      () => readBind(message(Frontend.bind, 0, 0, 0, 0, 0, 1, 127, 255, 255, 255, 0, 0)),
      /insufficient data/,
    ],
    [
      'formats that do not match',
      () => readBind({ bytes: encodeBind({ parameterFormats: [0, 0], parameters: ['a'] }) }),
      /2 parameter formats but 1 parameters/,
    ],
    ['a sync with a body', () => readEmpty(message(Frontend.sync, 1)), /too many/],
  ]
  for (const [name, read, pattern] of cases) t.throws(read, { code: '08P01', message: pattern }, name)
  t.throws(() => readQuery(message(Frontend.query, 0xff, 0)), { code: '22021', severity: 'ERROR' })
})

t.test('every message cut off at every byte is refused, never read wrongly', async (t) => {
  const whole = encodeBind({ portal: 'p', statement: 's', parameters: ['text', null], resultFormats: [1] })
  for (let length = 5; length < whole.length; length += 1) {
    t.throws(() => readBind({ bytes: whole.subarray(0, length) }), { code: '08P01' })
  }
})

t.test('a string with a NUL cannot be written', async (t) => {
  t.throws(() => encodeQuery('a\0b'), TypeError)
  t.equal(encodeQuery('ab').toString('hex'), '5100000007616200', 'the writer is whole afterwards')
})

t.test('startup packets are told apart', async (t) => {
  const read = (packet: Buffer): unknown => readStartupPacket(packet.subarray(4))
  t.same(read(encodeSslRequest()), { kind: 'ssl' })
  t.same(read(encodeGssencRequest()), { kind: 'gssenc' })
  t.same(read(encodeCancelRequest(7, Buffer.alloc(32, 1))), {
    kind: 'cancel',
    pid: 7,
    secret: Buffer.alloc(32, 1),
  })
  t.match(read(encodeStartup({ user: 'u', '_pq_.x': '1' }, 9)), {
    kind: 'startup',
    minor: 2,
    negotiate: true,
    unknownOptions: ['_pq_.x'],
    parameters: new Map([['user', 'u']]),
  })
  t.match(read(encodeStartup({ user: 'u' })), { minor: 0, negotiate: false, unknownOptions: [] })
  t.throws(() => read(encodeCancelRequest(7, Buffer.alloc(0))), { code: '08P01' })
  t.throws(() => read(encodeCancelRequest(7, Buffer.alloc(257))), { code: '08P01' })
  t.throws(() => read(Buffer.from('00000008000200000000', 'hex')), {
    code: '0A000',
    message: /unsupported.*2\.0/,
  })
  const open = encodeStartup({ user: 'u' })
  t.throws(() => read(open.subarray(0, -1)), { code: '08P01', message: /terminator/ })
  t.throws(() => read(Buffer.concat([open, Buffer.from('x')])), { code: '08P01', message: /terminator/ })
})

t.test('settings come from options and parameters, and parameters win', async (t) => {
  const settings = settingsOf(
    new Map([
      ['user', 'u'],
      ['database', 'd'],
      ['options', '-c search_path=a\\ b -cwork_mem=1MB --statement-timeout=5 -c TimeZone=UTC'],
      ['TimeZone', 'Europe/Berlin'],
      ['application_name', 'psql'],
    ]),
  )
  t.same(Object.fromEntries(settings), {
    search_path: 'a b',
    work_mem: '1MB',
    statement_timeout: '5',
    TimeZone: 'Europe/Berlin',
    application_name: 'psql',
  })
  for (const options of ['-c', '-c x', '-F', 'a=b', '-c =1']) {
    t.throws(() => settingsOf(new Map([['options', options]])), { code: '08P01' }, options)
  }
})
