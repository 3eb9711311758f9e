/**
 * Loaded before the program in each process of a test cluster (`--import`): while there is a file with the number of the process, now and then a bit of what comes through its connections is
 * another one. It stands for cables, memory and switches that TCP's weak checksum does not see through.
 */
import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { isMainThread } from 'node:worker_threads'
import { DAMAGE_VARIABLE, type Damage } from './damage-bytes.ts'

/** Smaller ones are heartbeats and the like: what matters is rarely in them. */
const LEAST_BYTES = 64

interface Reader {
  push(chunk: unknown, encoding?: BufferEncoding): boolean
}

const dir = process.env[DAMAGE_VARIABLE]
if (dir !== undefined && isMainThread) {
  const file = `${dir}/${process.pid}`
  const sockets = Socket.prototype as unknown as Reader
  const push = sockets.push
  sockets.push = function (this: Socket & Reader, chunk, encoding) {
    if (Buffer.isBuffer(chunk) && chunk.length >= LEAST_BYTES) {
      const wanted = wantedIn(file)
      if (wanted !== undefined && this.localPort !== wanted.exceptPort && Math.random() < wanted.share)
        flipOne(chunk)
    }
    return push.call(this, chunk, encoding)
  }
}

function flipOne(bytes: Buffer): void {
  const at = Math.floor(Math.random() * bytes.length)
  bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(Math.random() * 8))
}

function wantedIn(file: string): Damage | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Damage
  } catch {
    return undefined // none, or it is being written
  }
}
