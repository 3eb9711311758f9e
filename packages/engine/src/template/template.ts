/**
 * Templates: data directories made once by initdb, from which instances are cloned.
 *
 * initdb takes seconds and some 750 MB, so it runs in a short-lived child process, and its result is kept in a cache folder
 * under a hash of everything that goes into it. A template appears there whole (made aside, then renamed), so two creators
 * at once are safe: the second finds the first one's.
 */
import { spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EngineRefused } from '../errors.ts'
import { instancePaths } from '../layout.ts'
import { copyTree, syncFolder } from './copy-tree.ts'

/** Raise when the way templates are made changes. */
const TEMPLATE_FORMAT = 1

export interface TemplateOptions {
  /** Cache folder; made when it is not there. */
  readonly cacheDir: string
  /** SQL that is run once, as superuser with `allow_system_table_mods` on: tables in pg_catalog, roles, functions. */
  readonly bootstrapSql?: string
  /** Size of WAL segment files in MB; instances must be started with the same. */
  readonly walSegsizeMb?: number
}

/** What the maker's child process gets on standard input. */
export interface MakeTemplateOrder {
  readonly folder: string
  readonly bootstrapSql: string
  readonly walSegsizeMb: number
}

/** Makes the template, or finds it in the cache; resolves with its folder (an instance folder that is never started). */
export async function createTemplate(options: TemplateOptions): Promise<string> {
  const bootstrapSql = options.bootstrapSql ?? ''
  const walSegsizeMb = options.walSegsizeMb ?? 1
  const version = await pgliteVersion()
  const hash = createHash('sha256')
    .update(JSON.stringify([TEMPLATE_FORMAT, version, walSegsizeMb, bootstrapSql]))
    .digest('hex')
    .slice(0, 16)
  const folder = join(options.cacheDir, `template-${hash}`)
  if (await exists(folder)) return folder
  await mkdir(options.cacheDir, { recursive: true, mode: 0o700 })
  const aside = join(options.cacheDir, `making-${hash}-${randomUUID()}`)
  try {
    await mkdir(aside, { mode: 0o700 })
    await runMaker({ folder: aside, bootstrapSql, walSegsizeMb })
    await syncFolder(options.cacheDir)
    await rename(aside, folder)
    await syncFolder(options.cacheDir)
  } catch (error) {
    // Somebody else was first.
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  } finally {
    await rm(aside, { recursive: true, force: true })
  }
  return folder
}

/** Copies a template's data directory into an instance folder. The data directory must not exist; it appears whole and durable. */
export async function cloneTemplate(template: string, instanceFolder: string): Promise<void> {
  const to = instancePaths(instanceFolder)
  if (await exists(to.pgdata))
    throw new EngineRefused(`${to.pgdata} exists already: a template is cloned only into a new place`)
  await mkdir(to.receivedWal, { recursive: true, mode: 0o700 })
  const aside = `${to.pgdata}.${randomUUID()}`
  try {
    await copyTree(instancePaths(template).pgdata, aside)
    await rename(aside, to.pgdata)
  } finally {
    await rm(aside, { recursive: true, force: true })
  }
  await syncFolder(to.root)
}

async function runMaker(order: MakeTemplateOrder): Promise<void> {
  const script = fileURLToPath(new URL('./make-template-main.js', import.meta.url))
  const child = spawn(process.execPath, [script], {
    stdio: ['pipe', 'ignore', 'pipe'],
    execArgv: [],
  } as Parameters<typeof spawn>[2] & object)
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-8192)
  })
  child.stdin?.end(JSON.stringify(order))
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (status !== 0)
    throw new EngineRefused(
      `making a data directory template failed (exit status ${status}): ${stderr.trim()}`,
      { log: stderr.split('\n') },
    )
}

async function pgliteVersion(): Promise<string> {
  const require = createRequire(import.meta.url)
  // The package does not export its package.json, but its entry lies beside it.
  const entry = require.resolve('@electric-sql/pglite')
  const manifest = JSON.parse(await readFile(join(entry, '..', '..', 'package.json'), 'utf8')) as {
    version: string
  }
  return manifest.version
}

async function exists(path: string): Promise<boolean> {
  return access(path, constants.F_OK).then(
    () => true,
    () => false,
  )
}

/** Used by the maker's child. */
export async function markMade(folder: string): Promise<void> {
  await writeFile(join(folder, 'template.json'), JSON.stringify({ format: TEMPLATE_FORMAT }))
}
