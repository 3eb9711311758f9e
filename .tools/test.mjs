// `npm test [-- <path or part of a path> …] [-- --timeout=…]`: makes the checkout ready, runs the tests with tap,
// prints one line a file, what failed, what was skipped and why, and last `N passed, N failed`.
// Long runs (simulation and chaos for minutes, benchmarks) are other scripts: test/bench and *.long.test.ts are left out.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { makeReady, NotReady } from './lib/ready.mjs'
import { filesBelow, inRoot, packageNames, root } from './lib/root.mjs'
import { readyTap } from './test/ready-tap.mjs'
import { createTapResults, failureLines } from './test/tap-results.mjs'

const say = (line = '') => process.stdout.write(`${line}\n`)
const args = process.argv.slice(2)
const filters = args.filter((arg) => !arg.startsWith('-')).map((arg) => arg.replace(/^\.\//, ''))
const flags = args.filter((arg) => arg.startsWith('-') && arg !== '--')

const isTest = (path) =>
  path.endsWith('.test.ts') && !path.endsWith('.long.test.ts') && !path.startsWith('test/bench/')

function findTests() {
  // The tests of whole clusters first: they are the longest, and wait for much of their time while the others compute.
  const folders = [join(root, 'test'), ...packageNames().map((name) => join(root, 'packages', name, 'test'))]
  const all = folders.flatMap(filesBelow).map(inRoot).filter(isTest)
  return filters.length === 0 ? all : all.filter((path) => filters.some((filter) => path.includes(filter)))
}

function finish(passed, failed) {
  say(`${passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1
}

function runTap(files, onLine) {
  return new Promise((resolve, reject) => {
    const tap = join('node_modules', 'tap', 'dist', 'esm', 'run.mjs')
    const child = spawn(process.execPath, [tap, '--reporter=tap', ...flags, ...files], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, FORCE_COLOR: '0' },
    })
    createInterface({ input: child.stdout }).on('line', onLine)
    child.on('error', reject)
    child.on('close', (status, signal) => resolve(signal ?? status))
  })
}

function showFile(file) {
  const tests = `${file.passed + file.failed} test${file.passed + file.failed === 1 ? '' : 's'}`
  say(`${file.ok ? 'ok    ' : 'FAILED'} ${file.name}  ${tests}  ${Math.round(file.durationMs)} ms`)
  if (!file.ok) for (const line of failureLines(file)) say(`       ${line}`)
}

/**
 * Runs the files; those that tap left out are run again. (tap ends the whole run when one file times out.)
 * A pass that finishes none of its files ends this: they count as failed.
 */
async function runAll(files) {
  const tap = createTapResults(showFile)
  const { results } = tap
  for (let left = files; left.length > 0;) {
    const ended = await runTap(left, tap.line)
    const done = new Set(results.files)
    const stillLeft = left.filter((file) => !done.has(file))
    if (stillLeft.length === left.length) {
      for (const file of left)
        results.failures.push({ file, name: `did not finish; the runner ended with ${ended}` })
      break
    }
    if (stillLeft.length === 0 && ended !== 0 && results.failures.length === 0) {
      results.failures.push({ file: 'tap', name: `the runner ended with ${ended}` })
    }
    left = stillLeft
  }
  return results
}

function report(results, fileCount, beganAtMs) {
  if (results.skipped.length > 0) {
    say(`\n${results.skipped.length} skipped:`)
    for (const { file, name, reason } of results.skipped) say(`  ${file}: ${name} (${reason})`)
  }
  if (results.failures.length > 0) {
    say(`\n${results.failures.length} failed:`)
    for (const { file, name } of results.failures) say(`  ${file}: ${name}`)
  }
  const nothingRan = results.passed === 0 && results.failures.length === 0
  if (nothingRan) say('\nnot one test ran; that counts as a failure')
  say(
    `\n${fileCount} test file${fileCount === 1 ? '' : 's'} in ${((Date.now() - beganAtMs) / 1000).toFixed(1)} s`,
  )
  finish(results.passed, nothingRan ? 1 : results.failures.length)
}

async function main() {
  await makeReady()
  await readyTap()
  const files = findTests()
  if (files.length === 0) {
    say(filters.length === 0 ? 'there are no test files' : `no test file matches ${filters.join(' ')}`)
    return finish(0, 1)
  }
  const beganAtMs = Date.now()
  report(await runAll(files), files.length, beganAtMs)
}

main().catch((error) => {
  process.stderr.write(`${error instanceof NotReady ? error.message : error.stack}\n`)
  finish(0, 1)
})
