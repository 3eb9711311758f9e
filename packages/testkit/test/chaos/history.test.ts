// Histories: recorded to a file and read back, joined to operations, written as other checkers read them.
import t from 'tap'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { elleEdn, elleJson } from '../../src/chaos/history/export-elle.ts'
import { porcupineLogs } from '../../src/chaos/history/export-porcupine.ts'
import { History, parseHistory, readHistory } from '../../src/chaos/history/history.ts'
import { callsOf } from '../../src/chaos/history/op.ts'
import { append, historyOf, read, txn } from '../support/histories.ts'

t.test('what is recorded is in the file, line by line, and read back the same', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mirabelle-history-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const path = join(folder, 'history.jsonl')
  let now = 0
  const history = new History(() => (now += 1.5), path)
  const common = { process: 3, workload: 'set' as const, f: 'add', contents: [0] }
  history.add({ ...common, type: 'invoke', value: [1] })
  history.add({ ...common, type: 'info', value: [1], error: 'Query read timeout' })
  await history.close()
  t.same(await readHistory(path), history.ops)
  t.same(history.ops[1], {
    index: 1,
    timeMs: 3,
    ...common,
    type: 'info',
    value: [1],
    error: 'Query read timeout',
  })
  const text = await readFile(path, 'utf8')
  t.equal(parseHistory(text.slice(0, -5)).length, 1, 'of a run that was killed the last line may be cut')
  await writeFile(path, `{}\nnonsense\n`)
  await t.rejects(readHistory(path), /line 2 of the history is not JSON/)
})

t.test('a file that cannot be written is an error, not silence', async (t) => {
  const history = new History(() => 0, join(tmpdir(), 'mirabelle-no-such-folder', 'history.jsonl'))
  history.add({ process: 0, workload: 'set', f: 'add', type: 'invoke', value: [1] })
  await t.rejects(history.close(), { code: 'ENOENT' })
})

t.test('lines are joined to operations; one without an end is unknown', async (t) => {
  const ops = historyOf('set', [
    { from: 0, to: 5, f: 'add', asked: [1] },
    { from: 1, to: 2, f: 'read', asked: { above: 0 }, told: { above: 0, seen: [] } },
    { from: 3, to: 9, f: 'add', asked: [2], type: 'info' },
  ])
  const calls = callsOf(ops.slice(0, -1), 'set')
  t.same(
    calls.map(({ outcome, invokedAt, endedAt, told }) => ({ outcome, invokedAt, endedAt, told })),
    [
      { outcome: 'ok', invokedAt: 0, endedAt: 4, told: [1] },
      { outcome: 'ok', invokedAt: 1, endedAt: 2, told: { above: 0, seen: [] } },
      { outcome: 'info', invokedAt: 3, endedAt: Infinity, told: [2] },
    ],
  )
  t.same(callsOf(ops, 'bank'), [])
})

t.test(
  'a history in which a process does two things at once, or ends what it did not begin, is none',
  async (t) => {
    const [invoke, ok] = historyOf('set', [{ from: 0, to: 1, f: 'add', asked: [1] }])
    t.throws(
      () =>
        callsOf(
          [invoke, invoke].flatMap((op) => op ?? []),
          'set',
        ),
      /has an open operation already/,
    )
    t.throws(
      () =>
        callsOf(
          [ok].flatMap((op) => op ?? []),
          'set',
        ),
      /ends what it did not begin/,
    )
  },
)

t.test('list-append is written for Elle, as EDN and as JSON, numbered without gaps', async (t) => {
  const ops = [
    ...historyOf('bank', [{ from: 0, to: 1, f: 'read', asked: null }]),
    ...historyOf('append', [
      txn(0, 1.5, [append(1, 1), read(2)]),
      txn(2, 3, [read(1, 1)]),
      txn(4, 5, [append(2, 1)], { type: 'info' }),
    ]),
  ]
  t.same(elleEdn(ops).split('\n'), [
    '{:index 0, :type :invoke, :process 0, :time 0, :f :txn, :value [[:append 1 1] [:r 2 nil]]}',
    '{:index 1, :type :ok, :process 0, :time 1500000, :f :txn, :value [[:append 1 1] [:r 2 []]]}',
    '{:index 2, :type :invoke, :process 1, :time 2000000, :f :txn, :value [[:r 1 nil]]}',
    '{:index 3, :type :ok, :process 1, :time 3000000, :f :txn, :value [[:r 1 [1]]]}',
    '{:index 4, :type :invoke, :process 2, :time 4000000, :f :txn, :value [[:append 2 1]]}',
    '{:index 5, :type :info, :process 2, :time 5000000, :f :txn, :value [[:append 2 1]]}',
    '',
  ])
  const json = JSON.parse(elleJson(ops)) as { index: number; value: unknown }[]
  t.equal(json.length, 6)
  t.same(json[1], {
    index: 1,
    type: 'ok',
    process: 0,
    time: 1_500_000,
    f: 'txn',
    value: [
      ['append', 1, 1],
      ['r', 2, []],
    ],
  })
})

t.test('registers are written for Porcupine, a log for each key, without what was refused', async (t) => {
  const ops = historyOf('register', [
    { from: 0, to: 1, f: 'read', asked: { key: 1 }, told: { key: 1, seen: null } },
    { from: 2, to: 3, f: 'write', asked: { key: 1, to: 5 } },
    { from: 4, to: 5, f: 'write', asked: { key: 1, to: 6 }, type: 'fail' },
    { from: 6, to: 9, f: 'write', asked: { key: 1, to: 7 }, type: 'info' },
    {
      from: 7,
      to: 8,
      f: 'cas',
      asked: { key: 1, from: 5, to: 8 },
      told: { key: 1, from: 5, to: 8, swapped: false },
    },
    { from: 10, to: 11, f: 'write', asked: { key: 2, to: 9 } },
  ])
  const logs = porcupineLogs(ops)
  t.same([...logs.keys()], [1, 2])
  t.same(logs.get(1)?.split('\n'), [
    'INFO  jepsen.util - 0\t:invoke\t:read\tnil',
    'INFO  jepsen.util - 0\t:ok\t:read\tnil',
    'INFO  jepsen.util - 1\t:invoke\t:write\t5',
    'INFO  jepsen.util - 1\t:ok\t:write\t5',
    'INFO  jepsen.util - 3\t:invoke\t:write\t7',
    'INFO  jepsen.util - 4\t:invoke\t:cas\t[5 8]',
    'INFO  jepsen.util - 4\t:fail\t:cas\t[5 8]',
    '',
  ])
})
