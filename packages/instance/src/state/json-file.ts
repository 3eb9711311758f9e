/** Small JSON files: read with the two errors that matter told apart (not there; there but unreadable). */
import { MirabelleError } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'

/** The parsed file, or undefined when there is none. Rejects with `datadir.broken` when it is not JSON or cannot be read. */
export async function readJson(disk: Disk, path: string): Promise<unknown> {
  let bytes: Uint8Array
  try {
    bytes = await disk.readFile(path)
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return undefined
    throw new MirabelleError('datadir.broken', `${path} cannot be read: ${String(error)}`, { cause: error })
  }
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as unknown
  } catch (error) {
    throw new MirabelleError('datadir.broken', `${path} is not JSON: ${String(error)}`, { cause: error })
  }
}
