// `npm test [-- <path or part of a path> …]`: makes the checkout ready, runs the tests, which are written with tap,
// prints one line a file, what failed, what was skipped and why, and last `N passed, N failed`.
// Long runs (simulation and chaos for minutes, benchmarks) are other scripts: test/bench and *.long.test.ts are left out.
import { join } from 'node:path'
import { makeReady, NotReady } from './lib/ready.mjs'
import { filesBelow, inRoot, packageNames, root } from './lib/root.mjs'
import { runFiles } from './test/run-files.mjs'
import { createTapResults, failureLines } from './test/tap-results.mjs'

const say = (line = '') => process.stdout.write(`${line}\n`)
const args = process.argv.slice(2)
const filters = args.filter((arg) => !arg.startsWith('-')).map((arg) => arg.replace(/^\.\//, ''))
const unknown = args.find((arg) => arg.startsWith('-') && arg !== '--')

const isTest = (path) =>
  path.endsWith('.test.ts') && !path.endsWith('.long.test.ts') && !path.startsWith('test/bench/')

function findTests() {
  const folders = [join(root, 'test'), ...packageNames().map((name) => join(root, 'packages', name, 'test'))]
  const all = folders.flatMap(filesBelow).map(inRoot).filter(isTest)
  return filters.length === 0 ? all : all.filter((path) => filters.some((filter) => path.includes(filter)))
}

function finish(passed, failed) {
  say(`${passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1
}

function showFile(file) {
  const tests = `${file.passed + file.failed} test${file.passed + file.failed === 1 ? '' : 's'}`
  say(`${file.ok ? 'ok    ' : 'FAILED'} ${file.name}  ${tests}  ${Math.round(file.durationMs)} ms`)
  if (!file.ok) for (const line of failureLines(file)) say(`       ${line}`)
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
  if (unknown !== undefined) {
    say(`there is no option ${unknown}: npm test [-- <path or part of a path> …]`)
    return finish(0, 1)
  }
  await makeReady()
  const files = findTests()
  if (files.length === 0) {
    say(filters.length === 0 ? 'there are no test files' : `no test file matches ${filters.join(' ')}`)
    return finish(0, 1)
  }
  const beganAtMs = Date.now()
  const { line, results } = createTapResults(showFile)
  await runFiles(files, line)
  report(results, files.length, beganAtMs)
}

main().catch((error) => {
  process.stderr.write(`${error instanceof NotReady ? error.message : error.stack}\n`)
  finish(0, 1)
})
