/**
 * One command at a time changes the description of a cluster. The lock is a listening socket, which the kernel takes away with its process: on Linux one without a file,
 * elsewhere one whose owner is asked whether it lives.
 */
import { createHash } from 'node:crypto'
import { rm, stat } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { delay, realClock } from '@mirabelle/runtime'
import { CliError } from '../errors.ts'

/** A change is a small file: whoever takes longer hangs. */
const PATIENCE_MS = 10_000
const LOOK_EVERY_MS = 10

/** Does the work when no other command does any on this folder. Throws CliError when one does not come to its end. */
export async function whileAlone<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const path = await socketPath(folder)
  const deadline = realClock.monotonic() + PATIENCE_MS
  for (;;) {
    const server = await listen(path)
    if (server !== undefined) {
      try {
        return await work()
      } finally {
        await new Promise<void>((resolve) => server.close(() => resolve()))
      }
    }
    if (realClock.monotonic() >= deadline)
      throw new CliError(
        `another command has been changing cluster.json in ${folder} for ${PATIENCE_MS / 1000} s: end it, and run this again`,
      )
    await delay(realClock, LOOK_EVERY_MS)
  }
}

/** Two paths to one folder are one lock. */
async function socketPath(folder: string): Promise<string> {
  const { dev, ino } = await stat(folder, { bigint: true })
  if (process.platform === 'linux') return `\0mirabelle-cluster-${dev}-${ino}`
  const name = createHash('sha256').update(`cluster ${dev}-${ino}`).digest('hex').slice(0, 24)
  return join(tmpdir(), `mirabelle-${name}.sock`)
}

/** Undefined while somebody else has it. */
async function listen(path: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy())
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ path }, resolve)
    })
    return server
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    // A file whose owner was killed.
    if (!path.startsWith('\0') && !(await answers(path))) await rm(path, { force: true })
    return undefined
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
