/**
 * The lock of an instance folder: one process per data directory (invariant I7), PostgreSQL itself does not see to it here.
 *
 * Node has no flock, so the lock is a listening Unix socket that the kernel takes away with its process, whatever way that
 * ends. On Linux it lies in the abstract namespace and leaves nothing behind; elsewhere it is a socket file whose owner is asked
 * whether it lives. The name comes from device and inode of the folder, so two paths to one folder are one lock. As Linux keeps
 * abstract names per network namespace, a file with pid and start time of the holder is checked as well.
 */
import { createHash } from 'node:crypto'
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { aliveSince, startTimeOf } from '@mirabelle/runtime'
import { EngineLocked } from './errors.ts'
import { instancePaths } from './layout.ts'

/** A held lock. */
export interface FolderLock {
  /** Gives the lock back. */
  release(): Promise<void>
}

interface Holder {
  readonly pid: number
  /** Start time of the process as the kernel counts it; tells a process from a later one with the same pid. */
  readonly startedAt: string
}

/** Takes the lock of `folder`, which must exist. Throws EngineLocked when somebody has it. It dies with the process. */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const { lockFile } = instancePaths(folder)
  const server = await listen(folder, await socketPath(folder))
  try {
    const holder = await readHolder(lockFile)
    if (holder !== undefined && holder.pid !== process.pid && aliveSince(holder.pid, holder.startedAt))
      throw new EngineLocked(folder, holder.pid)
    const temporary = `${lockFile}.${process.pid}`
    await writeFile(
      temporary,
      JSON.stringify({ pid: process.pid, startedAt: startTimeOf(process.pid) } satisfies Holder),
      { mode: 0o600 },
    )
    await rename(temporary, lockFile)
  } catch (error) {
    await close(server)
    throw error
  }
  return {
    async release() {
      await rm(lockFile, { force: true })
      await close(server)
    },
  }
}

/** Pid of the process that holds the lock of `folder`, as its lock file says; undefined when there is none or it is dead. */
export async function lockHolder(folder: string): Promise<number | undefined> {
  const holder = await readHolder(instancePaths(folder).lockFile)
  return holder !== undefined && aliveSince(holder.pid, holder.startedAt) ? holder.pid : undefined
}

async function socketPath(folder: string): Promise<string> {
  const { dev, ino } = await stat(folder, { bigint: true })
  if (process.platform === 'linux') return `\0mirabelle-instance-${dev}-${ino}`
  return join(
    tmpdir(),
    `mirabelle-${createHash('sha256').update(`${dev}-${ino}`).digest('hex').slice(0, 24)}.sock`,
  )
}

async function listen(folder: string, path: string): Promise<Server> {
  try {
    return await bind(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    if (path.startsWith('\0') || (await answers(path)))
      throw new EngineLocked(folder, (await readHolder(instancePaths(folder).lockFile))?.pid)
    await rm(path, { force: true })
    return bind(path)
  }
}

function bind(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', reject)
    server.listen({ path }, () => {
      server.unref()
      resolve(server)
    })
  })
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}

async function readHolder(lockFile: string): Promise<Holder | undefined> {
  try {
    const value = JSON.parse(await readFile(lockFile, 'utf8')) as Partial<Holder>
    return typeof value.pid === 'number' && typeof value.startedAt === 'string'
      ? { pid: value.pid, startedAt: value.startedAt }
      : undefined
  } catch (error) {
    // No file: nobody. A file cut short by a crash: whoever wrote it is dead or holds the socket.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return undefined
    throw error
  }
}
