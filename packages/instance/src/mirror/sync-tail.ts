/**
 * Makes WAL files durable that an earlier process wrote: after `kill -9` what it had written but not fsynced is still in the files, and
 * is about to be reported as flushed.
 */
import type { Lsn } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'
import { parseWalFileName } from '@mirabelle/wal'

/** The newest segments of a folder; older ones were made durable when the next was begun. */
const NEWEST = 64

/** Of the WAL up to `end`: PostgreSQL keeps many recycled segments under names of the future. */
export async function syncTail(
  disk: Disk,
  folders: readonly string[],
  end: Lsn,
  segmentSize: number,
): Promise<void> {
  for (const folder of folders) {
    if (!(await disk.exists(folder))) continue
    const names = (await disk.list(folder))
      .map(({ name }) => name)
      .filter((name) => (parseWalFileName(name, segmentSize)?.start ?? end) < end)
    for (const name of names.slice(-NEWEST)) {
      const file = await disk.open(`${folder}/${name}`, 'r+')
      try {
        await file.sync()
      } finally {
        await file.close()
      }
    }
    await disk.syncDir(folder)
  }
}
