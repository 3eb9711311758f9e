/** Facts about PGlite's protocol loop that the runner rests on. */
import t from 'tap'
import type { EngineResult } from '@mirabelle/engine'
import { message, newPrimary, parse, query, run, until, value } from '../support/kit.ts'

const cString = (text: string): Buffer => Buffer.from(`${text}\0`)
const parseMessage = (sql: string): Buffer =>
  message('P', Buffer.concat([cString(''), cString(sql), Buffer.alloc(2)]))
const BIND = message('B', Buffer.concat([cString(''), cString(''), Buffer.alloc(6)]))
const EXECUTE = message('E', Buffer.concat([cString(''), Buffer.alloc(4)]))
const SYNC = message('S')

t.test('the answers of requests that run in one call are cut apart at ReadyForQuery', async (t) => {
  const { engine } = await newPrimary(t)
  const answers = await Promise.all([1, 2, 3, 4].map((n) => engine.submit(query(`SELECT ${n}`))))
  t.same(
    answers.map((one) => parse(one.output).rows),
    [[['1']], [['2']], [['3']], [['4']]],
  )
  t.same(
    answers.map((one) => parse(one.output).types),
    ['TDCZ', 'TDCZ', 'TDCZ', 'TDCZ'],
  )
})

t.test('an error in the middle of a batch does not disturb the next request', async (t) => {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int PRIMARY KEY)')
  const extended = (sql: string): Buffer => Buffer.concat([parseMessage(sql), BIND, EXECUTE, SYNC])
  const results = await Promise.all([
    engine.submit(query('INSERT INTO a VALUES (1)')),
    engine.submit(query('SELEC')),
    engine.submit(query('INSERT INTO a VALUES (2)')),
    engine.submit({ ...query(''), bytes: extended('INSERT INTO a VALUES (1)') }),
    engine.submit({ ...query(''), bytes: extended('INSERT INTO a VALUES (3)') }),
    engine.submit(query('SELECT i FROM a ORDER BY i')),
  ])
  t.same(
    results.map((one) => parse(one.output).errors),
    [[], ['42601'], [], ['23505'], [], []],
  )
  t.same(parse((results[5] as EngineResult).output).rows, [['1'], ['2'], ['3']])
})

t.test('the transaction status of the last ReadyForQuery is told', async (t) => {
  const { engine } = await newPrimary(t)
  const status = async (sql: string): Promise<string> => (await engine.submit(query(sql))).txStatus
  t.equal(await status('BEGIN'), 'T')
  t.equal(await status('SELEC'), 'E')
  t.equal(await status('ROLLBACK'), 'I')
})

t.test('the output of a preamble is dropped; when it fails the rest is not run', async (t) => {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int)')
  const bytes = (...statements: string[]): Buffer =>
    Buffer.concat(statements.map((sql) => message('Q', cString(sql))))
  const good = await engine.submit({
    ...query(''),
    bytes: bytes('SET search_path = public', "SET application_name = 'x'", 'SELECT 7'),
    syncs: 3,
    preambleSyncs: 2,
  })
  t.same(parse(good.output).types, 'TDCZ')
  t.same(parse(good.output).rows, [['7']])
  const [bad, next] = await Promise.all([
    engine.submit({
      ...query(''),
      bytes: bytes('SET search_path = public', 'SET nonsense = 1', 'INSERT INTO a VALUES (1)'),
      syncs: 3,
      preambleSyncs: 2,
    }),
    engine.submit(query('SELECT count(*) FROM a')),
  ])
  t.equal(parse(bad.output).types, 'EZ')
  t.same(parse(bad.output).errors, ['42704'])
  t.same(parse(next.output).rows, [['0']])
})

t.test('COPY without data ends with an error and leaves the next request alone', async (t) => {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int)')
  const extendedCopy = Buffer.concat([parseMessage('COPY a FROM STDIN'), BIND, EXECUTE, SYNC])
  const [simple, next, extended, last] = await Promise.all([
    engine.submit(query('COPY a FROM STDIN')),
    engine.submit(query('SELECT 5')),
    engine.submit({ ...query(''), bytes: extendedCopy }),
    engine.submit(query('SELECT 6')),
  ])
  t.same(parse(simple.output).errors, ['57014'])
  t.same(parse(next.output).rows, [['5']])
  t.same(parse(extended.output).errors, ['57014'])
  t.same(parse(last.output).rows, [['6']])
})

t.test('COPY with its data in the request loads it', async (t) => {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int)')
  const lines = Array.from({ length: 50_000 }, (_, i) => `${i}\n`).join('')
  const bytes = Buffer.concat([
    message('Q', cString('COPY a FROM STDIN')),
    message('d', Buffer.from(lines)),
    message('c'),
  ])
  const result = await engine.submit({ ...query(''), bytes })
  t.same(parse(result.output).errors, [])
  t.equal(await value(engine, 'SELECT sum(i) FROM a'), String((49_999 * 50_000) / 2))
})

t.test(
  'a COPY that fails before its data is read leaves the next request alone, wherever its messages are cut',
  async (t) => {
    const { engine } = await newPrimary(t)
    await run(engine, 'CREATE TABLE a(i int)')
    for (const size of [1, 700, 4093, 8187, 8192, 9001]) {
      const rows = Buffer.from('not a number\n' + '1\n'.repeat(size))
      const bytes = Buffer.concat([
        message('Q', cString('COPY a FROM STDIN')),
        ...Array.from({ length: 7 }, () => message('d', rows)),
        message('c'),
      ])
      const [copy, next, last] = await Promise.all([
        engine.submit({ ...query(''), bytes }),
        engine.submit(query('SELECT 5')),
        engine.submit(query('SELECT count(*) FROM a')),
      ])
      t.same(parse(copy.output).errors, ['22P02'], `${rows.length} bytes a message`)
      t.equal(copy.txStatus, 'I')
      t.same(parse(next.output).rows, [['5']])
      t.same(parse(last.output).rows, [['0']])
    }
  },
)

t.test('a request without Sync is refused and the backend comes back in step', async (t) => {
  const { engine } = await newPrimary(t)
  const bad = engine.submit({ ...query(''), bytes: Buffer.concat([parseMessage('SELECT 1'), BIND, EXECUTE]) })
  const next = engine.submit(query('SELECT 2'))
  await t.rejects(bad, { code: 'ENGINE_PROTOCOL' })
  t.same(parse((await next).output).rows, [['2']])
})

t.test('a big result comes in pieces, and the engine waits for a slow taker', async (t) => {
  const { engine } = await newPrimary(t)
  const pieces: Uint8Array[] = []
  let release: () => void = () => undefined
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  let others = 0
  const big = engine.submit(
    query("SELECT g, repeat('x', 100) FROM generate_series(1, 60000) g", {
      onOutput: async (piece) => {
        pieces.push(piece)
        await gate
      },
    }),
  )
  void engine.submit(query('SELECT 1')).then(() => others++)
  await until(() => pieces.length === 1)
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.equal(pieces.length, 1, 'nothing is handed out while the taker is busy')
  t.equal(others, 0, 'the engine has not got past the big request')
  release()
  const result = await big
  const whole = parse(Buffer.concat([...pieces, result.output]))
  t.equal(whole.rows.length, 60_000)
  t.equal(whole.rows[59_999]?.[0], '60000')
  t.ok(pieces.length > 20)
})

t.test('a taker that throws ends its request and no other', async (t) => {
  const { engine } = await newPrimary(t)
  const bad = engine.submit(
    query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)", {
      onOutput: () => {
        throw new Error('no room')
      },
    }),
  )
  await t.rejects(bad, { message: 'no room' })
  t.equal(await value(engine, 'SELECT 3'), '3')
})

t.test('a request of a transaction does not run when that transaction is not open', async (t) => {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int PRIMARY KEY)')
  const part = (sql: string): Promise<EngineResult> => engine.submit(query(sql, { inTransaction: true }))
  const answers = await Promise.all([
    part('INSERT INTO a VALUES (1)'),
    engine.submit(query('INSERT INTO a VALUES (2)')),
    engine.submit(query('BEGIN')),
    part('INSERT INTO a VALUES (3)'),
    part('COMMIT'),
    part('INSERT INTO a VALUES (4)'),
    part('INSERT INTO a VALUES (5)'),
  ])
  t.same(
    answers.map((one) => [parse(one.output).errors, one.txStatus]),
    [
      [['40001'], 'I'],
      [[], 'I'],
      [[], 'T'],
      [[], 'T'],
      [[], 'I'],
      [['40001'], 'I'],
      [['40001'], 'I'],
    ],
  )
  t.same(parse((await engine.submit(query('SELECT i FROM a ORDER BY i'))).output).rows, [['2'], ['3']])
  await engine.submit(query('BEGIN'))
  await engine.submit(query('SELEC'))
  t.same(
    parse((await part('SELECT 1')).output).errors,
    ['25P02'],
    'a failed transaction is still a transaction',
  )
  await part('ROLLBACK')
})

t.test('cancel never takes a request of a transaction out from in front of its COMMIT', async (t) => {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE TABLE a(i int PRIMARY KEY)')
  const first = query('BEGIN')
  const second = query('INSERT INTO a SELECT g FROM generate_series(1, 1000) g', { inTransaction: true })
  const commit = query('COMMIT', { inTransaction: true })
  const answers = [first, second, commit].map((request) => engine.submit(request))
  engine.cancel(second.tag, Number.POSITIVE_INFINITY)
  const [, inserted, committed] = await Promise.all(answers)
  const errors = parse((inserted as EngineResult).output).errors
  const count = parse((await engine.submit(query('SELECT count(*) FROM a'))).output).rows[0]?.[0]
  if (errors.length === 0) t.equal(count, '1000', 'it was over before the cancel came')
  else {
    t.same(errors, ['57014'])
    t.equal(count, '0', 'the COMMIT behind it had nothing to commit')
  }
  t.equal((committed as EngineResult).txStatus, 'I')
})
