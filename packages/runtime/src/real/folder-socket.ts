/**
 * A folder that one process at a time works on. Node has no flock, so what is held is a listening Unix socket, which the kernel takes away with its process, whatever way that ends. On
 * Linux it lies in the abstract namespace and leaves nothing behind (one namespace for each network namespace); elsewhere it is a socket file whose owner is asked whether it lives.
 */
import { createHash } from 'node:crypto'
import { rm, stat } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface HeldFolder {
  release(): Promise<void>
}

/** Holds the folder, which must exist, for a purpose of this name; undefined while another process, or this one, does. Two paths to one folder are one. */
export async function holdFolder(folder: string, purpose: string): Promise<HeldFolder | undefined> {
  const path = await socketPath(folder, purpose)
  const server = (await listen(path)) ?? ((await isLeftBehind(path)) ? await listen(path) : undefined)
  if (server === undefined) return undefined
  return { release: () => new Promise((resolve) => server.close(() => resolve())) }
}

async function socketPath(folder: string, purpose: string): Promise<string> {
  const { dev, ino } = await stat(folder, { bigint: true })
  const name = `${purpose}-${dev}-${ino}`
  if (process.platform === 'linux') return `\0mirabelle-${name}`
  return join(tmpdir(), `mirabelle-${createHash('sha256').update(name).digest('hex').slice(0, 24)}.sock`)
}

/** Undefined while somebody listens there, or has. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    server.listen({ path }, () => {
      server.unref()
      resolve(server)
    })
  })
}

/** A file whose owner was killed; it is removed. */
async function isLeftBehind(path: string): Promise<boolean> {
  if (path.startsWith('\0') || (await answers(path))) return false
  await rm(path, { force: true })
  return true
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
