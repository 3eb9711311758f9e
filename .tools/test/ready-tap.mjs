// Builds tap for the plugins of .taprc before the tests are run. tap does that by itself, but goes through that run with the plugins that it began with:
// on a fresh clone @tapjs/typescript would compile each test file with a language service of its own, 400 MB and some seconds of CPU a file.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runModule } from '../lib/run.mjs'
import { root } from '../lib/root.mjs'

/** The plugins of which tap is made now, as tap compares them; `undefined` when that cannot be read. */
function builtPlugins() {
  const path = join(root, 'node_modules', '@tapjs', 'test', 'test-built', 'dist', 'esm', 'index.js')
  return /export const signature = `([^`]*)`/.exec(readFileSync(path, 'utf8'))?.[1].split('\n')
}

/** The plugins that .taprc leaves out. */
function unwantedPlugins() {
  const text = readFileSync(join(root, '.taprc'), 'utf8')
  return [...text.matchAll(/^\s*- "!(.+)"$/gm)].map(([, name]) => name)
}

/** Resolves when tap is as .taprc says. What goes wrong here is tap's to tell: it tries again by itself. */
export async function readyTap() {
  const built = builtPlugins()
  if (built !== undefined && !unwantedPlugins().some((name) => built.includes(name))) return
  process.stderr.write('preparing the test runner (once) …\n')
  const { status, output } = await runModule('tap/dist/esm/run.mjs', ['build'])
  if (status !== 0) process.stderr.write(`${output.trim()}\ntap build ended with status ${status}\n`)
}
