/** Copies folders durably: every file and folder is fsynced. Uses reflinks where the file system has them. */
import { constants } from 'node:fs'
import { chmod, copyFile, mkdir, open, readdir, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

/** Copies the folder `from` to `to`, which must not exist. */
export async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { mode: 0o700 })
  const entries = await readdir(from, { withFileTypes: true })
  for (const entry of entries)
    if (entry.isDirectory()) await copyTree(join(from, entry.name), join(to, entry.name))
  await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => {
        await copyFile(join(from, entry.name), join(to, entry.name), constants.COPYFILE_FICLONE)
        // A copy has the mode of its original, and a template may be older than this rule.
        await chmod(join(to, entry.name), 0o600)
        await syncFile(join(to, entry.name))
      }),
  )
  await syncFolder(to)
}

/** Makes a file's content durable. */
export async function syncFile(path: string): Promise<void> {
  await withHandle(await open(path, 'r+'))
}

/** Makes a folder's entries durable. */
export async function syncFolder(path: string): Promise<void> {
  await withHandle(await open(path, 'r'))
}

async function withHandle(handle: FileHandle): Promise<void> {
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
