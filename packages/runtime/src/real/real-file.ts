/** An open file of the machine. Lives from `open` to `close`. */
import type { promises as fs } from 'node:fs'
import type { FileHandle } from '../ports/disk.ts'

/** Zeros that are written at a time. */
const ZEROS = new Uint8Array(256 * 1024)

/** Wraps Node's handle. After a failed `sync` every later one fails too: the kernel may have dropped the dirty pages. */
export function openRealFile(file: fs.FileHandle, path: string): FileHandle {
  let failedSync: unknown
  const write = async (position: number, bytes: Uint8Array): Promise<void> => {
    let done = 0
    while (done < bytes.length) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
      done += bytesWritten
    }
  }
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

    write,

    truncate: (length) => file.truncate(length),

    async reserve(length) {
      for (let at = (await file.stat()).size; at < length; at += ZEROS.length)
        await write(at, ZEROS.subarray(0, Math.min(ZEROS.length, length - at)))
    },

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
