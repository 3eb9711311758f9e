/** The hot path over a dispatcher that answers at once: bytes pass untouched, the content is right, and little time is spent. */
import t from 'tap'
import {
  commandComplete,
  encodeBind,
  encodeExecute,
  encodeParse,
  encodeQuery,
  Frontend,
  parameterDescription,
  PARSE_COMPLETE,
  readyForQuery,
  rowDescription,
  SYNC,
  textField,
  type FrontendMessage,
} from '@mirabelle/pgwire'
import type { LaneItem } from '../src/lanes/lane-item.ts'
import { fakeSession } from './support/fake-session.ts'

const message = (bytes: Buffer): FrontendMessage => ({ type: bytes[0] as number, bytes })
const DONE = Buffer.concat([commandComplete('INSERT 0 1'), readyForQuery('I')])
const DESCRIBED = Buffer.concat([
  PARSE_COMPLETE,
  parameterDescription([23]),
  rowDescription([textField('v')]),
  readyForQuery('I'),
])

t.test(
  'a one-row INSERT goes to the content of its key as the client wrote it, and so does the answer',
  async (t) => {
    const items: [number, Partial<LaneItem>][] = []
    const { session, sent } = await fakeSession((content, item) => {
      items.push([content, item])
      return Promise.resolve({ output: DONE, lsn: 0, txStatus: 'I' })
    })
    const query = encodeQuery("INSERT INTO kv VALUES (42, 'x')")
    await session.handle(message(query))
    t.equal(items.length, 1)
    t.equal(items[0]?.[1].bytes, query, 'the very same bytes')
    t.equal(items[0]?.[1].write, true)
    t.strictSame(sent, [DONE])
    await session.handle(message(encodeQuery("INSERT INTO kv VALUES (42, 'y')")))
    t.equal(items[1]?.[0], items[0]?.[0], 'the same key, the same content')
  },
)

t.test('a prepared statement is bound under its name on segments', async (t) => {
  const items: Partial<LaneItem>[] = []
  const { session } = await fakeSession((content, item) => {
    items.push(item)
    return Promise.resolve({ output: content === -1 ? DESCRIBED : DONE, lsn: 0, txStatus: 'I' })
  })
  const all = [
    encodeParse({ statement: 's', query: 'SELECT v FROM kv WHERE k = $1' }),
    SYNC,
    encodeBind({ statement: 's', parameters: ['42'] }),
    encodeExecute(),
    SYNC,
  ]
  for (const bytes of all) await session.handle(message(bytes))
  const [, run] = items
  t.ok(run?.statement?.name.startsWith('m_'))
  t.ok(Buffer.from(run?.bytes as Uint8Array).includes(`\0${run?.statement?.name}\0`))
})

t.test('little time is spent on a statement', async (t) => {
  const result = { output: DONE, lsn: 0, txStatus: 'I' } as const
  const described = { output: DESCRIBED, lsn: 0, txStatus: 'I' } as const
  const { session, sent } = await fakeSession((content) =>
    Promise.resolve(content === -1 ? described : result),
  )
  const queries = Array.from({ length: 1000 }, (_, i) =>
    message(encodeQuery(`INSERT INTO kv VALUES (${i}, 'some text ${i}')`)),
  )
  const time = async (name: string, work: (i: number) => Promise<void> | void): Promise<void> => {
    for (let i = 0; i < 5_000; i++) await work(i)
    const count = 20_000
    const started = process.hrtime.bigint()
    for (let i = 0; i < count; i++) await work(i)
    const micros = Number(process.hrtime.bigint() - started) / 1000 / count
    sent.length = 0
    t.comment(`${name}: ${micros.toFixed(1)} µs`)
    t.ok(micros < 300, name)
  }
  await time('simple INSERT', (i) => session.handle(queries[i % 1000] as FrontendMessage))
  await session.handle(message(encodeParse({ statement: 'p', query: 'SELECT v FROM kv WHERE k = $1' })))
  await session.handle({ type: Frontend.sync, bytes: SYNC })
  const binds = Array.from({ length: 1000 }, (_, i) =>
    message(encodeBind({ statement: 'p', parameters: [String(i)] })),
  )
  const execute = message(encodeExecute())
  const sync = message(SYNC)
  await time('prepared SELECT', (i) => {
    void session.handle(binds[i % 1000] as FrontendMessage)
    void session.handle(execute)
    return session.handle(sync)
  })
})
