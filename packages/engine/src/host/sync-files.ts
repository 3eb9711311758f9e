/** Makes files durable on behalf of the engine thread, all at once: concurrent fsyncs share the disk's journal commits. */
import { open } from 'node:fs/promises'
import { faults } from '@mirabelle/runtime'

/** Resolves when all files and folders are durable. One that is gone (renamed or deleted since) needs nothing. Rejects with the first failure. */
export async function syncFiles(paths: readonly string[]): Promise<void> {
  if (faults !== undefined) await faults.at('fsync.files.before')
  await Promise.all(paths.map(syncFile))
  if (faults !== undefined) await faults.at('fsync.files.after')
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  })
  if (file === undefined) return
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
