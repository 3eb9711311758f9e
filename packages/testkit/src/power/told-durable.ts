/** What instances have said is durable, and whether it is: the bytes of WAL behind the word of an instance, before and after it has lost its power. */
import { closeSync, openSync, readdirSync, readSync } from 'node:fs'
import { pgWalDir, receivedWalDir } from '@mirabelle/instance'
import type { Lsn, Timeline } from '@mirabelle/messages'
import { DEFAULT_SEGMENT_SIZE, segmentStart, walFileName } from '@mirabelle/wal'

/** An instance has said that its WAL is durable up to here. */
export interface Told {
  readonly dbid: number
  readonly role: 'p' | 'm'
  readonly datadir: string
  readonly timeline: Timeline
  readonly flushLsn: Lsn
}

/** Name of a WAL file without its timeline. */
const SEGMENT = 8

/** The newest segment, up to that point. Undefined when the folder has it under another timeline only. */
export function bytesOf(told: Told): Buffer | undefined {
  return read(`${folderOf(told)}/${nameOf(told)}`, lengthOf(told))
}

/** True when they are there still, on whichever timeline: a mirror that has begun to follow a new one has them in a file of the old one. */
export function isThere(told: Told, bytes: Buffer): boolean {
  const segment = nameOf(told).slice(SEGMENT)
  return readdirSync(folderOf(told)).some(
    (name) =>
      name.slice(SEGMENT) === segment && read(`${folderOf(told)}/${name}`, bytes.length)?.equals(bytes),
  )
}

function folderOf({ role, datadir }: Told): string {
  return role === 'p' ? pgWalDir(datadir) : receivedWalDir(datadir)
}

function startOf({ flushLsn }: Told): Lsn {
  return segmentStart(Math.max(0, flushLsn - 1), DEFAULT_SEGMENT_SIZE)
}

function nameOf(told: Told): string {
  return walFileName(told.timeline, startOf(told), DEFAULT_SEGMENT_SIZE)
}

function lengthOf(told: Told): number {
  return told.flushLsn - startOf(told)
}

function read(path: string, length: number): Buffer | undefined {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const bytes = Buffer.alloc(length)
    return bytes.subarray(0, readSync(fd, bytes, 0, length, 0))
  } finally {
    closeSync(fd)
  }
}
