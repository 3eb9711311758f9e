/** The disk of the machine. Everything runs on libuv's threads; files are made with mode 0600, folders with 0700. */
import { constants, promises as fs } from 'node:fs'
import { dirname } from 'node:path'
import { faults } from '../fault/faults.ts'
import type { DirEntry, Disk, FileHandle } from '../ports/disk.ts'
import { RealBulkFiles } from './bulk-files.ts'
import { openRealFile } from './real-file.ts'

const FILE_MODE = 0o600
const DIR_MODE = 0o700
/** Files whose size is asked for at one time. */
const STAT_BATCH = 64

const FLAGS = {
  r: constants.O_RDONLY,
  'r+': constants.O_RDWR,
  'w+': constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC,
  'a+': constants.O_RDWR | constants.O_CREAT,
} as const

let temporaries = 0

/** The real disk. */
export const realDisk: Disk = {
  async open(path, mode): Promise<FileHandle> {
    return openRealFile(await fs.open(path, FLAGS[mode], FILE_MODE), path)
  },

  readFile: (path) => fs.readFile(path),

  async writeFileDurable(path, content) {
    if (faults !== undefined) await faults.at('fsync.replace.before')
    const temporary = `${path}.${process.pid}.${++temporaries}.tmp`
    try {
      const file = await fs.open(temporary, FLAGS['w+'], FILE_MODE)
      try {
        await file.writeFile(content)
        await file.sync()
      } finally {
        await file.close()
      }
      if (faults !== undefined) await faults.at('fsync.replace.written')
      await fs.rename(temporary, path)
    } catch (error) {
      await fs.rm(temporary, { force: true })
      throw error
    }
    if (faults !== undefined) await faults.at('fsync.replace.renamed')
    await this.syncDir(dirname(path))
  },

  async list(path) {
    const names = (await fs.readdir(path)).sort(byCodeUnits)
    const entries: DirEntry[] = []
    for (let at = 0; at < names.length; at += STAT_BATCH) {
      const batch = await Promise.all(names.slice(at, at + STAT_BATCH).map((name) => entryOf(path, name)))
      entries.push(...batch.filter((entry) => entry !== undefined))
    }
    return entries
  },

  async exists(path) {
    try {
      await fs.stat(path)
      return true
    } catch (error) {
      if (isMissing(error)) return false
      throw error
    }
  },

  async makeDir(path) {
    await fs.mkdir(path, { recursive: true, mode: DIR_MODE })
  },

  rename: (from, to) => fs.rename(from, to),

  remove: (path) => fs.rm(path, { recursive: true, force: true }),

  async syncDir(path) {
    const folder = await fs.open(path, constants.O_RDONLY)
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  },

  async freeBytes(path) {
    const { bavail, bsize } = await fs.statfs(path)
    return bavail * bsize
  },

  bulk: () => new RealBulkFiles(),
}

/** Undefined when it vanished in between. */
async function entryOf(folder: string, name: string): Promise<DirEntry | undefined> {
  try {
    const stat = await fs.lstat(`${folder}/${name}`)
    return { name, isDirectory: stat.isDirectory(), size: stat.size }
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code
  return code === 'ENOENT' || code === 'ENOTDIR'
}

function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
