// A short chaos run with a fixed seed: real processes, real clients, a few faults, all checkers; and the command's own answers. The long ones are
// `npm run chaos -- --minutes 30`.
import t from 'tap'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readHistory, runChaos, summaryLines } from '@mirabelle/testkit/chaos'

// About half a minute on an idle machine; a busy one starts clusters slowly.
t.setTimeout(480_000)

t.test('clients of a cluster whose processes are killed see nothing that cannot be', async (t) => {
  const outDir = await mkdtemp(join(tmpdir(), 'mirabelle-chaos-'))
  t.teardown(() => rm(outDir, { recursive: true, force: true }))
  const { summary, anomalies, reportPath } = await runChaos({
    // A primary is killed in the first round, the coordinator in the second, and its standby takes over.
    seed: 33,
    minutes: 10,
    rounds: 2,
    outDir,
    faults: ['kill-primary', 'replace-coordinator', 'rebalance'],
    pace: { restMs: [500, 1_500], holdMs: [200, 2_000] },
    tell: (line) => t.comment(line),
  })
  for (const line of summaryLines(summary)) t.comment(line)
  t.same(anomalies, [])
  const done = summary.faults.map(({ name, what }) => `${name}: ${what}`)
  t.ok(
    done.some((fault) => /^kill-primary: SIGKILL/.test(fault)),
    'a primary was killed',
  )
  t.ok(
    done.some((fault) => /^replace-coordinator: SIGKILL/.test(fault)),
    'the coordinator was killed',
  )
  for (const { workload, counts } of summary.verdicts)
    t.ok(counts.ok >= 5, `${workload}: ${counts.ok} acknowledged`)
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
  const wrong = await run('--faults', 'meteor')
  t.equal(wrong.status, 2)
  t.match(wrong.err, /does not know meteor; there are kill-primary/)
})
