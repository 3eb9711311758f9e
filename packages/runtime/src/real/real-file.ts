/** An open file of the machine. Lives from `open` to `close`. */
import type { promises as fs } from 'node:fs'
import type { FileHandle } from '../ports/disk.ts'

/** Wraps Node's handle. After a failed `sync` every later one fails too: the kernel may have dropped the dirty pages. */
export function openRealFile(file: fs.FileHandle, path: string): FileHandle {
  let failedSync: unknown
  return {
    async read(position, length) {
      const bytes = Buffer.allocUnsafeSlow(length)
      let have = 0
      while (have < length) {
        const { bytesRead } = await file.read(bytes, have, length - have, position + have)
        if (bytesRead === 0) break
        have += bytesRead
      }
      return have === length ? bytes : bytes.subarray(0, have)
    },

    async write(position, bytes) {
      let done = 0
      while (done < bytes.length) {
        const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
        done += bytesWritten
      }
    },

    truncate: (length) => file.truncate(length),

    size: async () => (await file.stat()).size,

    async sync() {
      if (failedSync !== undefined)
        throw new Error(`an earlier fsync of ${path} failed; what is durable is unknown`, {
          cause: failedSync,
        })
      try {
        await file.datasync()
      } catch (error) {
        failedSync = error
        throw error
      }
    },

    close: () => file.close(),
  }
}
