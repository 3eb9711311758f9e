/**
 * What has been written to files and not been made durable: the old bytes, so that a loss of power can take the new ones away. Shared by all processes
 * and threads of a test cluster; it lies in files, which outlive a SIGKILL. Linux only: an open file is found by its inode, whatever its name becomes.
 *
 * A folder for each file: `u` holds a record for each write since the last fsync began, `s…` those of an fsync that is under way, or whose process has died in it.
 */
import fs from 'node:fs'
import { dirname } from 'node:path'
import { NameStore } from './name-store.ts'
import { appendTo, isMissing, keyOf, namesIn, PENDING } from './undo-files.ts'

/** Where it is: in the environment of the processes of the cluster. */
export const UNDO_VARIABLE = 'MIRABELLE_TEST_UNDO'

/** What has lost its name, beside the folder of its host: on the same disk, and not looked into by anybody. */
export function keepOf(hostDir: string): string {
  return `${dirname(hostDir)}/.kept`
}

/** In front of each record: size of the file before, where the old bytes were, how many there are. */
const HEAD_BYTES = 24
const SYNCING = 's'

/** Taken before this module's users are replaced by what notes things here. */
const real = { ...fs }

export class UndoStore {
  readonly dir: string

  constructor(dir: string) {
    this.dir = dir
  }

  /** `length` bytes from `position` on are about to be replaced, or cut off. */
  note(key: string, fd: number, size: number, position: number, length: number): void {
    const had = Math.max(0, Math.min(length, size - position))
    const record = Buffer.alloc(HEAD_BYTES + had)
    record.writeDoubleLE(size, 0)
    record.writeDoubleLE(position, 8)
    record.writeDoubleLE(had, 16)
    if (had > 0) readInto(fd, record.subarray(HEAD_BYTES), position)
    appendTo(`${this.dir}/${key}`, record)
  }

  /** An fsync of a file, or of a folder, begins: returns what is to be called when it has succeeded. */
  syncing(key: string, isFolder = false): () => void {
    const folder = `${this.dir}/${key}`
    const covered = namesIn(folder).filter((name) => name.startsWith(SYNCING))
    const mine = `${SYNCING}${process.hrtime.bigint()}`
    try {
      real.renameSync(`${folder}/${PENDING}`, `${folder}/${mine}`)
      covered.push(mine)
    } catch (error) {
      if (!isMissing(error)) throw error
    }
    return () => {
      for (const name of covered) {
        if (isFolder) NameStore.forget(`${folder}/${name}`)
        real.rmSync(`${folder}/${name}`, { force: true })
      }
    }
  }

  /**
   * Power is lost under `root`, where nobody runs any more: what was not durable is gone from its folders and files, but for the first `kept` of so many changes to each
   * that the disk has got to by itself. Returns how many files have lost something, a name or what was written.
   */
  lose(root: string, kept: (changes: number) => number = () => 0): number {
    const names = new NameStore(this.dir, keepOf(root)).lose(root, kept)
    return names + this.#loseWrites(root, kept)
  }

  #loseWrites(root: string, kept: (writes: number) => number): number {
    const keys = new Set(namesIn(this.dir))
    let count = 0
    for (const path of filesBelow(root)) {
      const key = keyOf(real.lstatSync(path, { bigint: true }))
      if (keys.has(key) && this.#undo(path, key, kept)) count++
    }
    return count
  }

  #undo(path: string, key: string, kept: (writes: number) => number): boolean {
    const folder = `${this.dir}/${key}`
    const names = namesIn(folder)
    const older = names.filter((name) => name.startsWith(SYNCING)).sort(byNumber)
    const inOrder = [...older, ...names.filter((name) => name === PENDING)]
    const all = inOrder.flatMap((name) => recordsOf(real.readFileSync(`${folder}/${name}`)))
    const records = all.slice(kept(all.length))
    if (records.length > 0) {
      const fd = real.openSync(path, 'r+')
      try {
        for (const { size, position, bytes } of records.reverse()) {
          if (bytes.length > 0) real.writeSync(fd, bytes, 0, bytes.length, position)
          real.ftruncateSync(fd, size)
        }
      } finally {
        real.closeSync(fd)
      }
    }
    real.rmSync(folder, { recursive: true, force: true })
    return records.length > 0
  }
}

interface UndoRecord {
  readonly size: number
  readonly position: number
  readonly bytes: Buffer
}

/** What is opened for writing only is opened once more. */
function readInto(fd: number, bytes: Uint8Array, position: number): void {
  let from = fd
  try {
    for (let done = 0; done < bytes.length;) {
      try {
        const got = real.readSync(from, bytes, done, bytes.length - done, position + done)
        if (got === 0) return
        done += got
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EBADF' || from !== fd) throw error
        from = real.openSync(`/proc/self/fd/${fd}`, 'r')
      }
    }
  } finally {
    if (from !== fd) real.closeSync(from)
  }
}

/** The last one may be cut short: then what it was noted for has not been written. */
function recordsOf(content: Buffer): UndoRecord[] {
  const records: UndoRecord[] = []
  for (let at = 0; at + HEAD_BYTES <= content.length;) {
    const length = content.readDoubleLE(at + 16)
    const end = at + HEAD_BYTES + length
    if (end > content.length) break
    const [size, position] = [content.readDoubleLE(at), content.readDoubleLE(at + 8)]
    records.push({ size, position, bytes: content.subarray(at + HEAD_BYTES, end) })
    at = end
  }
  return records
}

function byNumber(a: string, b: string): number {
  const [left, right] = [BigInt(a.slice(1)), BigInt(b.slice(1))]
  return left < right ? -1 : left > right ? 1 : 0
}

function filesBelow(folder: string): string[] {
  return real.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    return entry.isDirectory() ? filesBelow(path) : entry.isFile() ? [path] : []
  })
}
