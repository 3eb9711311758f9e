import t from 'tap'
import {
  authenticationOk,
  Backend,
  backendKeyData,
  BIND_COMPLETE,
  commandComplete,
  commandTag,
  copyInResponse,
  countMessages,
  dataRow,
  dataRowsOf,
  EMPTY_QUERY_RESPONSE,
  errorResponse,
  fieldsOf,
  firstError,
  forEachMessage,
  forEachWholeMessage,
  keepMessages,
  negotiateProtocolVersion,
  noticeResponse,
  noticesOf,
  parameterDescription,
  parameterStatus,
  parameterTypesOf,
  PARSE_COMPLETE,
  PORTAL_SUSPENDED,
  readDataRowBytes,
  readyForQuery,
  resultsOf,
  rowCountOfTag,
  rowDescription,
  rowsOf,
  splitAtReady,
  textField,
  transactionStatusOf,
  type ErrorFields,
} from '@mirabelle/pgwire'

const fields = [
  textField('a'),
  { ...textField('b', 23, 4), tableOid: 4_000_000_000, column: -1, typeModifier: 7 },
]
const select = Buffer.concat([
  rowDescription(fields),
  dataRow(['größe', null]),
  dataRow(['', Buffer.from('2')]),
  commandComplete('SELECT 2'),
])

t.test('a result is read as it was written', async (t) => {
  t.same(rowsOf(select), [
    ['größe', null],
    ['', '2'],
  ])
  t.same(fieldsOf(select), fields)
  t.equal(commandTag(select), 'SELECT 2')
  t.equal(firstError(select), undefined)
  t.equal(transactionStatusOf(select), undefined)
  const [row] = dataRowsOf(select)
  t.same(readDataRowBytes(row!, 0, dataRow(['größe', null]).length), [Buffer.from('größe'), null])
})

t.test('several statements give several results', async (t) => {
  const output = Buffer.concat([
    select,
    commandComplete('INSERT 0 3'),
    EMPTY_QUERY_RESPONSE,
    rowDescription([textField('x')]),
    dataRow(['1']),
    PORTAL_SUSPENDED,
    rowDescription([textField('x')]),
    dataRow(['1']),
    errorResponse({ code: '22012', message: 'division by zero' }),
    readyForQuery('E'),
  ])
  const results = resultsOf(output)
  t.same(
    results.map((result) => [result.tag, result.rows.length, result.fields?.length]),
    [
      ['SELECT 2', 2, 2],
      ['INSERT 0 3', 0, undefined],
      [undefined, 0, undefined],
      [undefined, 1, 1],
      [undefined, 1, 1],
    ],
  )
  t.equal(commandTag(output), 'INSERT 0 3')
  t.equal(transactionStatusOf(output), 'E')
  t.equal(firstError(output)?.code, '22012')
  t.same(['INSERT 0 3', 'SELECT 2', 'CREATE TABLE', 'UPDATE 17'].map(rowCountOfTag), [3, 2, undefined, 17])
})

t.test('all fields of an error survive', async (t) => {
  const error: ErrorFields = {
    severity: 'FATAL',
    code: '57P01',
    message: 'Größe',
    detail: 'd',
    hint: 'h',
    position: 12,
    internalPosition: 3,
    internalQuery: 'iq',
    where: 'w',
    schema: 's',
    table: 't',
    column: 'c',
    dataType: 'dt',
    constraint: 'n',
    file: 'f.c',
    line: 99,
    routine: 'r',
  }
  t.same(firstError(errorResponse(error)), error)
  t.same(noticesOf(Buffer.concat([noticeResponse(error), noticeResponse({ code: '00000', message: 'm' })])), [
    error,
    { severity: 'NOTICE', code: '00000', message: 'm' },
  ])
  t.equal(firstError(errorResponse({ code: 'XX000', message: 'a\0b' }))?.message, 'ab')
  const bytes = errorResponse({ code: '22012', message: 'm' }).toString('latin1')
  t.equal(bytes, 'E\0\0\0\x1dSERROR\0VERROR\0C22012\0Mm\0\0')
})

t.test('the bytes of fixed messages are those of the protocol', async (t) => {
  const hex = (bytes: Buffer): string => bytes.toString('hex')
  t.equal(hex(readyForQuery('T')), '5a0000000554')
  t.equal(hex(authenticationOk()), '520000000800000000')
  t.equal(hex(PARSE_COMPLETE), '3100000004')
  t.equal(hex(backendKeyData(1, Buffer.from([9, 9, 9, 9]))), '4b0000000c0000000109090909')
  t.equal(hex(copyInResponse(0, 2)), '470000000b00000200000000')
  t.equal(hex(parameterStatus('a', 'b')), '530000000861006200')
  t.equal(hex(negotiateProtocolVersion(2, ['_pq_.x'])), '760000001300030002000000015f70715f2e7800')
  t.same(parameterTypesOf(parameterDescription([23, 4_000_000_000])), [23, 4_000_000_000])
})

t.test('messages are walked over wherever the buffer ends', async (t) => {
  for (let length = 0; length <= select.length; length += 1) {
    const part = select.subarray(0, length)
    const seen: number[] = []
    const end = forEachMessage(part, (_type, start, stop) => {
      if (seen.length > 0) t.equal(start, seen.at(-1))
      seen.push(stop)
    })
    t.equal(end, seen.at(-1) ?? 0)
    t.ok(end <= length)
    if (end !== length) t.throws(() => forEachWholeMessage(part, () => undefined), { code: '08P01' })
  }
  let visited = 0
  t.equal(
    forEachMessage(select, () => ++visited < 1),
    rowDescription(fields).length,
    'false stops behind the message',
  )
  t.throws(() => forEachMessage(Buffer.from('5a00000003', 'hex'), () => undefined), { code: '08P01' })
  t.throws(() => forEachMessage(Buffer.from('5affffffff', 'hex'), () => undefined), { code: '08P01' })
})

t.test('answers are cut into pieces without copies', async (t) => {
  const one = Buffer.concat([PARSE_COMPLETE, BIND_COMPLETE, select, readyForQuery('I')])
  const two = Buffer.concat([commandComplete('INSERT 0 1'), readyForQuery('I')])
  const output = Buffer.concat([one, two])
  t.same(splitAtReady(output), [one, two])
  t.same(splitAtReady(Buffer.concat([output, PARSE_COMPLETE])), [one, two, PARSE_COMPLETE])
  t.equal(splitAtReady(output)[1]!.buffer, output.buffer)
  const rows = keepMessages(output, (type) => type === Backend.dataRow)
  t.equal(rows.length, 1, 'neighbours are one view')
  t.equal(countMessages(rows[0]!, Backend.dataRow), 2)
  t.same(Buffer.concat(keepMessages(output, () => true)), output)
  t.same(
    keepMessages(output, (type) => type !== Backend.dataRow)
      .map((piece) => piece.length)
      .reduce((a, b) => a + b),
    output.length - rows[0]!.length,
  )
})

t.test('binary columns and broken rows are refused rather than misread', async (t) => {
  const binary = Buffer.concat([
    rowDescription([{ ...textField('n'), format: 1 }]),
    dataRow([Buffer.from([1])]),
  ])
  t.throws(() => rowsOf(binary), { code: '08P01', message: /"n" is in binary/ })
  const broken = dataRow(['abc'])
  broken.writeInt32BE(9, 7)
  t.throws(() => rowsOf(broken), { code: '08P01', message: /column 1/ })
})

t.test('a long text is written whole', async (t) => {
  const long = 'ü'.repeat(2_000_000)
  t.equal(rowsOf(dataRow([long, 'x']))[0]?.[0], long)
})
