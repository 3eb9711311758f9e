/** The files in which it is noted what a loss of power takes away: a folder for each file or folder of a host, shared by all of its processes. */
import fs, { type BigIntStats } from 'node:fs'

/** Taken before the users of this module are replaced by what notes things here. */
const real = { ...fs }

/** Holds a record for each change since the last fsync began. */
export const PENDING = 'u'

/** Tells a file from one that gets its inode later. */
export function keyOf({ dev, ino, birthtimeNs }: BigIntStats): string {
  return `${dev}-${ino}-${birthtimeNs}`
}

/** A record more since the last fsync. */
export function appendTo(folder: string, record: Uint8Array): void {
  try {
    append(`${folder}/${PENDING}`, record)
  } catch (error) {
    if (!isMissing(error)) throw error
    real.mkdirSync(folder, { recursive: true })
    append(`${folder}/${PENDING}`, record)
  }
}

function append(path: string, record: Uint8Array): void {
  const fd = real.openSync(path, 'a')
  try {
    real.writeSync(fd, record)
  } finally {
    real.closeSync(fd)
  }
}

/** The whole lines of a file; none when it is not there. What comes behind the last one was cut short: what it was noted for has not been done. */
export function linesIn(path: string): string[] {
  try {
    return real.readFileSync(path, 'utf8').split('\n').slice(0, -1)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

export function namesIn(folder: string): string[] {
  try {
    return real.readdirSync(folder)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}
