/**
 * Makes WAL files durable that an earlier process wrote: after `kill -9` what it had written but not fsynced is still in the files, and
 * is about to be reported as flushed.
 */
import type { Disk } from '@mirabelle/runtime'

const WAL_FILE = /^[0-9A-F]{24}$/
/** The newest segments of a folder; older ones were made durable when the next was begun. */
const NEWEST = 64

export async function syncTail(disk: Disk, folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    if (!(await disk.exists(folder))) continue
    const names = (await disk.list(folder)).filter((one) => WAL_FILE.test(one.name)).map((one) => one.name)
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
