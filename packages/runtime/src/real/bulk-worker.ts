/**
 * Thread that reads and writes many small files, one after the other without waiting for a turn of any event loop: each step of a file that goes through
 * libuv's threads costs more than the step itself. Made by bulk-files.ts, ends when its port is closed.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  writeSync,
} from 'node:fs'
import { parentPort, type MessagePort } from 'node:worker_threads'
import type { TreeEntry } from '../ports/disk.ts'
import type { BulkAnswer, BulkRequest } from './bulk-files.ts'

const FILE_MODE = 0o600
const port = parentPort as MessagePort

port.on('message', (request: BulkRequest) => {
  try {
    answer(request)
  } catch (error) {
    const { message, code, syscall, path } = error as NodeJS.ErrnoException
    tell({ id: request.id, failed: { message, code, syscall, path } })
  }
})

function answer(request: BulkRequest): void {
  switch (request.what) {
    case 'tree': {
      const tree: TreeEntry[] = []
      walk(request.folder, '', tree)
      return tell({ id: request.id, tree })
    }
    case 'read': {
      const { bytes, lengths } = read(request.paths, request.lengths)
      return tell({ id: request.id, bytes, lengths }, [bytes.buffer])
    }
    case 'write':
      return tell({ id: request.id, descriptors: write(request) })
    case 'close':
      request.descriptors.forEach((one) => closeSync(one))
      return
  }
}

function tell(reply: BulkAnswer, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(reply, transfer)
}

function walk(folder: string, below: string, tree: TreeEntry[]): void {
  for (const entry of readdirSync(`${folder}/${below}`, { withFileTypes: true })) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`
    if (entry.isDirectory()) {
      tree.push({ path, kind: 'folder', size: 0 })
      unlessGone(() => walk(folder, path, tree))
    } else if (entry.isFile()) {
      const size = unlessGone(() => lstatSync(`${folder}/${path}`).size)
      if (size !== undefined) tree.push({ path, kind: 'file', size })
    } else tree.push({ path, kind: 'other', size: 0 })
  }
}

/** What was read, one behind the other; -1 for a file that is not there. */
function read(
  paths: readonly string[],
  most: readonly number[],
): { bytes: Uint8Array<ArrayBuffer>; lengths: number[] } {
  const bytes = new Uint8Array(most.reduce((sum, one) => sum + one, 0))
  let at = 0
  const lengths = paths.map((path, index) => {
    const descriptor = unlessGone(() => openSync(path, constants.O_RDONLY))
    if (descriptor === undefined) return -1
    try {
      const got = fill(descriptor, bytes.subarray(at, at + (most[index] as number)))
      at += got
      return got
    } finally {
      closeSync(descriptor)
    }
  })
  return { bytes, lengths }
}

function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function fill(descriptor: number, into: Uint8Array): number {
  let have = 0
  while (have < into.length) {
    const got = readSync(descriptor, into, have, into.length - have, have)
    if (got === 0) break
    have += got
  }
  return have
}

/** Writes all of them and leaves them open, to be made durable. */
function write({ paths, lengths, bytes }: Extract<BulkRequest, { what: 'write' }>): number[] {
  const descriptors: number[] = []
  let at = 0
  try {
    paths.forEach((path, index) => {
      const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, FILE_MODE)
      descriptors.push(descriptor)
      const length = lengths[index] as number
      if (length < 0) return
      for (let done = 0; done < length;) done += writeSync(descriptor, bytes, at + done, length - done, done)
      at += length
      if (fstatSync(descriptor).size !== length) ftruncateSync(descriptor, length)
    })
    return descriptors
  } catch (error) {
    descriptors.forEach((one) => closeSync(one))
    throw error
  }
}
