// `npm run docs` writes the generated pages; with --check it only compares them and fails when one is stale.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { findMachines, machineFileProblems, orphanPages, renderAllPages } from './docs/all-pages.mjs'
import { undescribed } from './docs/machine-model.mjs'
import { root } from './lib/root.mjs'

const say = (line) => process.stdout.write(`${line}\n`)
const onlyCheck = process.argv.includes('--check')
const pages = await renderAllPages()
const orphans = orphanPages(pages)
const machines = await findMachines()

const onDisk = (path) => (existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : undefined)
const stale = [...pages].filter(([path, text]) => onDisk(path) !== text)

for (const [path, text] of onlyCheck ? [] : stale) {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
  say(`wrote ${path}`)
}
for (const path of onlyCheck ? [] : orphans) {
  rmSync(join(root, path))
  say(`removed ${path}`)
}

const problems = [
  ...(onlyCheck ? stale.map(([path]) => `${path} is stale; run npm run docs`) : []),
  ...(onlyCheck ? orphans.map((path) => `${path} belongs to no machine; run npm run docs`) : []),
  ...machines.flatMap(({ model }) => undescribed(model)),
  ...machineFileProblems(machines),
]
for (const problem of problems) say(problem)
process.exitCode = problems.length === 0 ? 0 : 1
