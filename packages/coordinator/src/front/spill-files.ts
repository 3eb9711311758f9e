/**
 * Files for results that slow clients have not read yet. Beside PostgreSQL's data, on the same disk: what the coordinator itself needs comes first, so
 * nothing is written when little room would be left. A file has no name once it is open: nothing is left of it, however the process ends.
 */
import { spillDir } from '@mirabelle/instance'
import { MirabelleError } from '@mirabelle/messages'
import type { OpenSpillFile } from '@mirabelle/pgwire'
import type { Disk } from '@mirabelle/runtime'

/** Bytes of the disk that unread results leave alone. */
const KEEP_FREE_BYTES = 512 * 1024 * 1024

/** Makes them in the folder of an instance. */
export function spillFiles(disk: Disk, datadir: string): OpenSpillFile {
  const folder = spillDir(datadir)
  let made = 0
  let emptied: Promise<void> | undefined
  return async () => {
    // What a process that died in the wrong moment has left.
    await (emptied ??= disk.remove(folder))
    await disk.makeDir(folder)
    const path = `${folder}/${++made}`
    const file = await disk.open(path, 'w+')
    await disk.remove(path)
    return {
      async write(position, bytes) {
        if ((await disk.freeBytes(folder)) < KEEP_FREE_BYTES + bytes.length)
          throw new MirabelleError(
            'disk.full',
            `less than ${KEEP_FREE_BYTES} bytes would be left on the disk`,
          )
        await file.write(position, bytes)
      },
      read: (position, length) => file.read(position, length),
      close: () => file.close(),
    }
  }
}
