// A short chaos run with a fixed seed: real processes, real clients, a few faults, all checkers; and the command's own answers. The long ones are
// `npm run chaos -- --minutes 30`.
import t from 'tap'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readHistory, runChaos, summaryLines } from '@mirabelle/testkit/chaos'

t.setTimeout(240_000)

t.test('clients of a cluster whose processes are killed see nothing that cannot be', async (t) => {
  const outDir = await mkdtemp(join(tmpdir(), 'mirabelle-chaos-'))
  t.teardown(() => rm(outDir, { recursive: true, force: true }))
  const { summary, anomalies, reportPath } = await runChaos({
    seed: 5,
    minutes: 1,
    rounds: 2,
    outDir,
    faults: ['kill-primary', 'replace-coordinator', 'rebalance'],
    pace: { restMs: [500, 1_500], holdMs: [200, 2_000] },
    tell: (line) => t.comment(line),
  })
  for (const line of summaryLines(summary)) t.comment(line)
  t.same(anomalies, [])
  t.ok(
    summary.faults.some(({ contents }) => contents.length > 0),
    'faults were done',
  )
  for (const { workload, counts } of summary.verdicts)
    t.ok(counts.ok >= 20, `${workload}: ${counts.ok} acknowledged`)
  const ops = await readHistory(join(outDir, 'history.jsonl'))
  t.ok(
    ops.some(({ final, type }) => final === true && type === 'ok'),
    'there are final reads',
  )
  t.match(await readFile(reportPath, 'utf8'), /^<!DOCTYPE html>/)
  for (const name of ['elle.edn', 'elle.json', 'summary.json', 'porcupine/1.log'])
    t.ok((await readFile(join(outDir, name), 'utf8')).length > 0, name)
})

t.test('the command says what it can do, and refuses what it does not know', async (t) => {
  const script = fileURLToPath(new URL('../../packages/testkit/dist/chaos/chaos-main.js', import.meta.url))
  const run = (...args: string[]) =>
    new Promise<{ status: unknown; out: string; err: string }>((resolve) => {
      execFile(process.execPath, [script, ...args], (error, out, err) => {
        resolve({ status: error?.code ?? 0, out, err })
      })
    })
  const help = await run('--help')
  t.equal(help.status, 0)
  t.match(help.out, 'kill-primary')
  for (const [args, said] of [
    [['--faults', 'meteor'], /does not know meteor; there are kill-primary/],
    [['--minutes', 'soon'], /--minutes takes a number/],
    [['--nonsense'], /--nonsense.*see --help/s],
  ] as const) {
    const wrong = await run(...args)
    t.equal(wrong.status, 2)
    t.match(wrong.err, said)
  }
})
