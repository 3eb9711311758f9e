// How `npm test` counts: from tap's own lines, never from hope.
import { readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import t from 'tap'
import { root } from '../.tools/lib/root.mjs'
import { runFiles } from '../.tools/test/run-files.mjs'
import { createTapResults, failureLines } from '../.tools/test/tap-results.mjs'

function read(text: string) {
  const files: { name: string; ok: boolean; lines: string[] }[] = []
  const tap = createTapResults((file: (typeof files)[number]) => files.push(file))
  for (const line of text.split('\n')) tap.line(line)
  return { ...tap.results, seen: files }
}

const good = `TAP version 14
1..1
# Subtest: a.test.ts
    # Subtest: one holds
        ok 1 - should be equal
        1..1
    ok 1 - one holds # time=3.8ms
    ok 2 - a lone assertion
    1..2
ok 1 - a.test.ts # time=12.5ms`

t.setTimeout(120_000)

t.test('tests directly inside a file are counted, assertions inside them are not', async (t) => {
  const results = read(good)
  t.match(results, { files: ['a.test.ts'], passed: 2, failed: 0, failures: [], skipped: [] })
})

t.test('a failed test is named and its lines are shown without those that passed', async (t) => {
  const results = read(`# Subtest: a.test.ts
    # Subtest: one fails
        ok 1 - fine
        not ok 2 - should be equal
          ---
          diff: |
            not ok 7 - a line of a diagnostic
          ...
        1..2
    not ok 1 - one fails # time=3ms
    ok 2 - two holds
    1..2
not ok 1 - a.test.ts # time=4ms`)
  t.match(results, { passed: 1, failed: 1, failures: [{ file: 'a.test.ts', name: 'one fails' }] })
  const shown = failureLines(results.seen[0])
  t.ok(shown.some((line: string) => line.includes('should be equal')))
  t.notOk(shown.some((line: string) => line.includes('two holds') || line.includes('fine')))
})

t.test('a file that crashed counts as one failure', async (t) => {
  const results = read(`# Subtest: a.test.ts
    1..0 # no tests found
not ok 1 - a.test.ts # time=7ms
  ---
  exitCode: 1
  ...`)
  t.match(results, { passed: 0, failed: 1, failures: [{ file: 'a.test.ts' }] })
})

t.test('skipped tests are neither passed nor failed, and keep their reason', async (t) => {
  const results = read(`# Subtest: a.test.ts
    ok 1 - needs psql # SKIP psql is not installed
    # Subtest: partly
        ok 1 - a piece # SKIP no network
        1..1
    ok 2 - partly # time=1ms
    not ok 3 - some day # ${'TO' + 'DO'} later
    1..3
ok 1 - a.test.ts # time=9ms
# Subtest: b.test.ts
    1..0 # needs root
ok 2 - b.test.ts # SKIP needs root`)
  t.match(results, { passed: 1, failed: 0 })
  t.same(
    results.skipped.map(({ name, reason }: { name: string; reason: string }) => `${name}: ${reason}`),
    [
      'needs psql: psql is not installed',
      'partly > a piece: no network',
      'some day: later',
      '(the whole file): needs root',
    ],
  )
})

t.test("the runner's own word outside any file is not taken for a file", async (t) => {
  const results = read(`${good}\nnot ok 2 - timeout!\n  ---\n  expired: b.test.ts\n  ...`)
  t.match(results, { files: ['a.test.ts'], passed: 2, failed: 0 })
})

t.test('files are run as they are, and one fails by its exit status, whatever it has printed', async (t) => {
  const folder = t.testdir({
    'good.test.ts': `import t from 'tap'\nt.test('holds', async (t) => void t.equal(1 as number, 1))\nt.pass('alone')`,
    'bad.test.ts': `import t from 'tap'\nt.test('differs', async (t) => void t.equal(1, 2))`,
    'crash.test.ts': `import t from 'tap'\nt.pass('before')\nprocess.kill(process.pid, 'SIGKILL')`,
    'throws.test.ts': `throw new Error('nothing is tested here')`,
    'empty.test.ts': `import 'tap'`,
    'skipped.test.ts': `import t from 'tap'\nt.plan(0, 'needs a moon')`,
    'hangs.test.ts': `import t from 'tap'\nt.pass('before')\nAtomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)`,
    'waits.test.ts': `import t from 'tap'\nt.test('never ends', () => new Promise(() => setInterval(() => {}, 1e6)))`,
  })
  const files = readdirSync(folder).map((name) => relative(root, join(folder, name)))
  const tap = createTapResults()
  // Longer than the six that end need on a busy machine; the two that do not take no processor meanwhile.
  await runFiles(files, tap.line, { timeoutMs: 15_000, graceMs: 500 })
  const { results } = tap
  const short = (path: string) => path.split('/').at(-1)
  t.same(results.files.map(short).sort(), readdirSync(folder).sort(), 'each of them is told of')
  const failed = new Set(results.failures.map(({ file }: { file: string }) => short(file)))
  t.same([...failed].sort(), [
    'bad.test.ts',
    'crash.test.ts',
    'empty.test.ts',
    'hangs.test.ts',
    'throws.test.ts',
    'waits.test.ts',
  ])
  t.match(results.skipped, [{ name: '(the whole file)', reason: 'needs a moon' }])
  t.equal(results.passed, 4, 'two of the good one, and what passed before the crash and the hang')
})
