// `npm run check [-- <step> …] [-- --fix]`: is the tree well? One line a step; every step runs even after a failure.
// Two at a time, after the build. --fix first lets prettier and eslint repair what they can.
import { runModule, run } from './lib/run.mjs'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { packageNames, root } from './lib/root.mjs'
import { inspectLeftovers, inspectTree } from './check/read-tree.mjs'

/** Steps at a time: linter and compiler take most of a core each. */
const AT_ONCE = 2
const say = (line) => process.stdout.write(`${line}\n`)
const args = process.argv.slice(2)
const wanted = args.filter((arg) => !arg.startsWith('-'))
const fix = args.includes('--fix')

const eslint = (...flags) =>
  runModule('eslint/bin/eslint.js', [
    '--config',
    '.tools/eslint.config.mjs',
    '--max-warnings',
    '0',
    ...flags,
    '.',
  ])
const prettier = (...flags) => runModule('prettier/bin/prettier.cjs', ['--log-level', 'warn', ...flags, '.'])

function cruise() {
  const folders = packageNames()
    .flatMap((name) => ['src', 'test', 'bin'].map((folder) => `packages/${name}/${folder}`))
    .concat('test', 'examples')
    .filter((folder) => existsSync(join(root, folder)))
  const flags = ['--config', '.dependency-cruiser.mjs', '--output-type', 'err']
  return runModule('dependency-cruiser/bin/dependency-cruise.mjs', [...flags, ...folders])
}

const listed = (problems, remarks = []) => ({
  status: problems.length === 0 ? 0 : 1,
  output: problems.join('\n'),
  remarks,
})

function tidy() {
  const { problems, remarks } = inspectTree()
  return listed(problems, remarks)
}

const steps = {
  build: () => runModule('typescript/bin/tsc', ['-b', 'packages', '--pretty', 'false']),
  types: () => runModule('typescript/bin/tsc', ['-p', 'test/tsconfig.json', '--pretty', 'false']),
  lint: () => eslint(),
  format: () => prettier('--check'),
  imports: cruise,
  'dead-code': () =>
    runModule('knip/bin/knip.js', ['--config', '.knip.json', '--no-progress', '--no-config-hints']),
  pages: () => run(process.execPath, ['.tools/generate-docs.mjs', '--check']),
  leftovers: async () => listed(inspectLeftovers()),
  tidy: async () => tidy(),
}

const indent = (text) => text.trimEnd().replace(/^/gm, '    ')

async function runStep(name) {
  const began = Date.now()
  const { status, output, remarks = [] } = await steps[name]()
  const seconds = ((Date.now() - began) / 1000).toFixed(1)
  say(`${status === 0 ? 'ok    ' : 'failed'}  ${name.padEnd(10)} ${seconds.padStart(5)} s`)
  if (status !== 0) say(indent(output))
  for (const remark of remarks) say(`    (remark) ${remark}`)
  return status === 0
}

const unknown = wanted.filter((name) => !(name in steps))
if (unknown.length > 0) {
  say(`no such step: ${unknown.join(', ')}; there are ${Object.keys(steps).join(', ')}`)
  process.exitCode = 1
} else {
  if (fix) {
    await eslint('--fix')
    await prettier('--write')
  }
  const failed = []
  const names = wanted.length > 0 ? wanted : Object.keys(steps)
  const work = async (queue) => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift())
      if (!(await runStep(name))) failed.push(name)
  }
  // What is built is read by the others, which do not read each other.
  await work(names.filter((name) => name === 'build'))
  const others = names.filter((name) => name !== 'build')
  await Promise.all(Array.from({ length: AT_ONCE }, () => work(others)))
  say(failed.length === 0 ? 'the tree is well' : `not well: ${failed.join(', ')}`)
  process.exitCode = failed.length === 0 ? 0 : 1
}
