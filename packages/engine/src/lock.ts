/**
 * The lock of an instance folder: one process per data directory (invariant I7), PostgreSQL itself does not see to it here.
 *
 * It is a listening socket that goes with its process (`holdFolder`). As Linux keeps the names of these per network namespace, a file with pid and start time of the
 * holder is checked as well.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { aliveSince, holdFolder, startTimeOf } from '@mirabelle/runtime'
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
  const held = await holdFolder(folder, 'instance')
  if (held === undefined) throw new EngineLocked(folder, (await readHolder(lockFile))?.pid)
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
    await held.release()
    throw error
  }
  return {
    async release() {
      await rm(lockFile, { force: true })
      await held.release()
    },
  }
}

/** Pid of the process that holds the lock of `folder`, as its lock file says; undefined when there is none or it is dead. */
export async function lockHolder(folder: string): Promise<number | undefined> {
  const holder = await readHolder(instancePaths(folder).lockFile)
  return holder !== undefined && aliveSince(holder.pid, holder.startedAt) ? holder.pid : undefined
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
