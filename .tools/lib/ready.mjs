// Makes a checkout ready to run: dependencies installed as the lock file says, packages built.
// Both are skipped within milliseconds when nothing changed. Nothing is written to stdout.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withLock } from './lock.mjs'
import { filesBelow, inRoot, packageNames, root } from './root.mjs'
import { run, runModule } from './run.mjs'

const stampFolder = join(root, 'node_modules', '.mirabelle')
const lockPath = join(root, '.bootstrap.lock')
const oldestNode = [20, 19]

const say = (line) => process.stderr.write(`${line}\n`)
const readText = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : undefined)
const readStamp = (name) => readText(join(stampFolder, name))

function writeStamp(name, text) {
  mkdirSync(stampFolder, { recursive: true })
  writeFileSync(join(stampFolder, name), text)
}

/** What went wrong, said to the user without a stack. */
export class NotReady extends Error {}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])) return
  throw new NotReady(
    `Mirabelle needs Node ${oldestNode.join('.')} or newer; this is Node ${process.versions.node}.`,
  )
}

const installFingerprint = (lockText) =>
  createHash('sha256').update(lockText).update(`${process.platform} ${process.arch}`).digest('hex')

/** True when npm's own record of node_modules holds every package that the lock file requires, in its version. */
export function installMatches(lockText, installedText) {
  if (installedText === undefined) return false
  const installed = JSON.parse(installedText).packages ?? {}
  return Object.entries(JSON.parse(lockText).packages ?? {}).every(([path, wanted]) => {
    if (path === '' || wanted.optional || wanted.devOptional || wanted.peer) return true
    const found = installed[path]
    return found !== undefined && found.version === wanted.version
  })
}

function isInstalled() {
  const lockText = readText(join(root, 'package-lock.json'))
  if (lockText === undefined)
    throw new NotReady('package-lock.json is missing: this is not a whole checkout.')
  const fingerprint = installFingerprint(lockText)
  if (readStamp('install') === fingerprint) return true
  if (!installMatches(lockText, readText(join(root, 'node_modules', '.package-lock.json')))) return false
  writeStamp('install', fingerprint)
  return true
}

/** How to call npm: the one that called us if it is npm, else the one on the path. */
function npmCommand() {
  const caller = process.env['npm_execpath']
  if (caller?.endsWith('npm-cli.js')) return [process.execPath, [caller]]
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm', []]
}

async function install(holdFor) {
  if (isInstalled()) return
  const began = Date.now()
  say('installing dependencies (once) …')
  const [command, first] = npmCommand()
  const flags = [
    '--include=dev',
    '--include=optional',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]
  const { status, output } = await run(command, [...first, 'ci', ...flags], { onSpawn: holdFor })
  if (status === 127) throw new NotReady(`npm is needed and could not be started (${output}).`)
  if (status !== 0) {
    throw new NotReady(
      `${output.trim()}\nnpm ci failed with status ${status}; is the npm registry reachable?`,
    )
  }
  writeStamp('install', installFingerprint(readFileSync(join(root, 'package-lock.json'), 'utf8')))
  say(`dependencies installed in ${Math.round((Date.now() - began) / 1000)} s`)
}

/** Names, sizes and times of everything that the build reads. */
function buildFingerprint() {
  const hash = createHash('sha256')
  const inputs = [
    join(root, 'tsconfig.base.json'),
    join(root, 'packages', 'tsconfig.json'),
    join(root, 'package-lock.json'),
  ]
  for (const name of packageNames()) {
    const folder = join(root, 'packages', name)
    inputs.push(
      join(folder, 'tsconfig.json'),
      join(folder, 'package.json'),
      ...filesBelow(join(folder, 'src')),
    )
  }
  for (const path of inputs) {
    const { size, mtimeMs } = statSync(path)
    hash.update(`${inRoot(path)} ${size} ${mtimeMs}\n`)
  }
  return hash.digest('hex')
}

const isBuilt = (fingerprint) =>
  readStamp('build') === fingerprint &&
  packageNames().every((name) => existsSync(join(root, 'packages', name, 'dist', 'index.js')))

async function build(holdFor) {
  const fingerprint = buildFingerprint()
  if (isBuilt(fingerprint)) return
  const began = Date.now()
  if (readStamp('build') === undefined) say('building the packages …')
  const { status, output } = await runModule('typescript/bin/tsc', ['-b', 'packages', '--pretty', 'false'], {
    onSpawn: holdFor,
  })
  if (status !== 0)
    throw new NotReady(`${output.trim()}\nthe packages do not build (tsc -b packages, status ${status}).`)
  writeStamp('build', fingerprint)
  say(`packages built in ${((Date.now() - began) / 1000).toFixed(1)} s`)
}

/**
 * Installs when needed, then builds when needed (unless `build` is false). Safe when several processes call it
 * at once: the others wait. Throws NotReady with a sentence for the user.
 */
export async function makeReady({ build: withBuild = true } = {}) {
  checkNode()
  if (isInstalled() && (!withBuild || isBuilt(buildFingerprint()))) return
  const onWait = () => say('another process is preparing this checkout; waiting for it …')
  const work = async (holdFor) => {
    await install(holdFor)
    if (withBuild) await build(holdFor)
  }
  await withLock(lockPath, work, onWait)
}
