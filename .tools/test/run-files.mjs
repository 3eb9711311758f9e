// Runs test files, some at a time, each as a process of its own that prints TAP; what it prints is handed on as the lines that tap's own runner
// would print for it. tap's runner takes files by the alphabet only: the tests of whole clusters, which mostly wait, all came together at the end, and
// what computes all before, so that a quarter of the processors' time was lost.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../lib/root.mjs'
import { run } from '../lib/run.mjs'

/** How long a test file may take when it does not say so itself (tap is told); how long one that is over its time, or does not end when asked to, is left. */
const LIMITS = { timeoutMs: 300_000, graceMs: 30_000 }
/** Files at a time. */
const JOBS = 3

/** The longest time that a file asks for with `t.setTimeout`, ms. */
function declaredTimeout(path, timeoutMs) {
  const text = readFileSync(join(root, path), 'utf8')
  const asked = [...text.matchAll(/\bsetTimeout\(([\d_]+)\)/g)].map(([, ms]) =>
    Number(ms.replaceAll('_', '')),
  )
  return Math.max(timeoutMs, ...asked)
}

/**
 * Two queues, the longest first by what they ask for: one of whole clusters, one of the rest. One process works on the clusters, the others on the rest,
 * and whoever finds its own queue empty helps with the other.
 */
function queues(files, timeoutMs) {
  const timed = files.map((path) => ({ path, timeoutMs: declaredTimeout(path, timeoutMs) }))
  timed.sort((a, b) => b.timeoutMs - a.timeoutMs)
  const clusters = timed.filter(({ path }) => path.startsWith('test/'))
  return { clusters, rest: timed.filter((file) => !clusters.includes(file)) }
}

/**
 * Runs one file. Lines of its TAP go to `onLine` when it has ended, one level deeper and framed as a subtest of its name.
 * A file fails by its exit status, whatever it printed, and when it tested nothing.
 */
async function runFile({ path, timeoutMs }, limits, onLine) {
  const beganAt = performance.now()
  let late = false
  let timer
  const { status, output } = await run(process.execPath, ['--enable-source-maps', '--import=tsx', path], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, FORCE_COLOR: '0', TAP: '1', TAP_TIMEOUT: String(limits.timeoutMs / 1000) },
    onSpawn: (pid) => {
      timer = setTimeout(() => {
        late = true
        process.kill(pid, 'SIGTERM')
        timer = setTimeout(() => process.kill(pid, 'SIGKILL'), limits.graceMs)
      }, timeoutMs + limits.graceMs)
    },
  })
  clearTimeout(timer)
  const lines = output.split('\n')
  if (late) lines.push(`not ok - did not end within ${timeoutMs / 1000} s`)
  const ms = (performance.now() - beganAt).toFixed(3)
  const skipped = lines.map((line) => /^1\.\.0 # (?:SKIP )?(.+)$/i.exec(line)?.[1]).find(Boolean)
  const tested = skipped !== undefined || lines.some((line) => /^(not )?ok\b/.test(line))
  onLine(`# Subtest: ${path}`)
  for (const line of lines) onLine(`    ${line}`)
  if (status === 0 && tested)
    return onLine(`ok - ${path} # ${skipped === undefined ? `time=${ms}ms` : `SKIP ${skipped}`}`)
  onLine(`not ok - ${path} # time=${ms}ms`)
  onLine('  ---')
  onLine(`  ended with: ${tested ? status : 'not one test'}`)
  onLine('  ...')
}

/** Runs these files (paths inside the checkout); resolves when all have ended. `onLine` gets TAP as of one run of tap over all of them. */
export async function runFiles(files, onLine, limits = LIMITS) {
  const { clusters, rest } = queues(files, limits.timeoutMs)
  const work = async (own, other) => {
    for (let next = own.shift() ?? other.shift(); next !== undefined; next = own.shift() ?? other.shift())
      await runFile(next, limits, onLine)
  }
  await Promise.all(
    Array.from({ length: JOBS }, (_, at) => (at === 0 ? work(clusters, rest) : work(rest, clusters))),
  )
}
