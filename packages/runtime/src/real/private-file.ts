/** Files that hold keys: read only when nobody else can read them, as ssh and PostgreSQL do. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { MirabelleError } from '@mirabelle/messages'

/** Bits of the mode that let group or others do anything. */
const OTHERS = 0o077

/**
 * The content of a key file; for the start of a process, as it holds the thread. Throws `key.unsafe` when the file is not there, belongs to somebody
 * else (root apart), or group or others may do anything with it; the sentence says how to mend that.
 */
export function readPrivateFile(path: string): Buffer {
  const fd = opened(path)
  try {
    // The open file is looked at, not its name: nobody can change it in between.
    const { mode, uid } = fstatSync(fd)
    const own = process.getuid?.()
    if ((mode & OTHERS) !== 0)
      throw new MirabelleError(
        'key.unsafe',
        `${path} can be read or written by others (mode ${(mode & 0o777).toString(8).padStart(4, '0')}): chmod 600 ${path}`,
      )
    if (own !== undefined && uid !== own && uid !== 0)
      throw new MirabelleError(
        'key.unsafe',
        `${path} belongs to user ${uid}, not to user ${own} who runs this process: chown it`,
      )
    return readFileSync(fd)
  } finally {
    closeSync(fd)
  }
}

function opened(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new MirabelleError('key.unsafe', `${path} cannot be read: ${code ?? String(error)}`, {
      cause: error,
    })
  }
}
