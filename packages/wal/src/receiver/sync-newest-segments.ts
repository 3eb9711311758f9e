/**
 * Makes durable what an earlier process wrote and perhaps could not flush: what is read back after a `kill -9` may be in memory only, and it
 * is about to be acknowledged as the end of received WAL.
 */
import { MirabelleError } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'
import { parseWalFileName } from '../format/file-names.ts'
import { namesIn } from '../files/wal-files.ts'

/** More segments than a walreceiver ever has unflushed. */
const NEWEST = 72

/** Flushes the newest segment files of a folder, and the folder. Rejects with `wal.unsynced` when a file cannot be: it must not be tried again. */
export async function syncNewestSegments(disk: Disk, dir: string, segmentSize: number): Promise<void> {
  const names = (await namesIn(disk, dir)).filter((name) => parseWalFileName(name, segmentSize) !== undefined)
  if (names.length === 0) return
  for (const name of names.slice(-NEWEST)) {
    const file = await disk.open(`${dir}/${name}`, 'r+')
    try {
      await file.sync()
    } catch (cause) {
      throw new MirabelleError('wal.unsynced', `fsync of ${dir}/${name} failed: ${String(cause)}`, { cause })
    } finally {
      await file.close()
    }
  }
  await disk.syncDir(dir)
}
