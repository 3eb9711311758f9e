/** Walks the folder of a cluster: who else could read it, and where a word stands that should stand nowhere. */
import { lstat, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** Bits of a mode for group and others. */
const OTHERS = 0o077
const CHUNK_BYTES = 1024 * 1024

/** All files and folders below one, itself included; what goes away meanwhile is left out. */
async function* below(
  path: string,
): AsyncGenerator<{ readonly path: string; readonly mode: number; readonly isFile: boolean }> {
  const stat = await lstat(path).catch(ifMissing)
  if (stat === undefined || stat.isSymbolicLink()) return
  yield { path, mode: stat.mode & 0o777, isFile: stat.isFile() }
  if (!stat.isDirectory()) return
  for (const name of (await readdir(path).catch(ifMissing)) ?? []) yield* below(join(path, name))
}

/** Everything below a folder that group or others may read, write or enter. */
export async function openToOthers(folder: string): Promise<string[]> {
  const found: string[] = []
  for await (const { path, mode } of below(folder))
    if ((mode & OTHERS) !== 0) found.push(`${mode.toString(8).padStart(4, '0')} ${path}`)
  return found
}

/** Files below a folder that hold one of these byte strings. */
export async function filesWith(folder: string, words: readonly Buffer[]): Promise<string[]> {
  const longest = Math.max(...words.map(({ length }) => length))
  const found: string[] = []
  for await (const { path, isFile } of below(folder)) {
    if (!isFile) continue
    const file = await open(path, 'r').catch(ifMissing)
    if (file === undefined) continue
    try {
      const chunk = Buffer.alloc(CHUNK_BYTES + longest)
      // What one chunk ends with is looked at again at the start of the next: a word may lie across.
      for (let kept = 0; ;) {
        const { bytesRead } = await file.read(chunk, kept, CHUNK_BYTES)
        const part = chunk.subarray(0, kept + bytesRead)
        const word = words.find((one) => part.includes(one))
        if (word !== undefined) found.push(`${path} holds ${JSON.stringify(word.toString('latin1'))}`)
        if (bytesRead === 0 || word !== undefined) break
        kept = Math.min(longest, part.length)
        part.copyWithin(0, part.length - kept)
      }
    } finally {
      await file.close()
    }
  }
  return found
}

function ifMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
  throw error
}
