/** What a process, or a worker of it, holds: to see whether it grew over many inputs. */
import { readdirSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

export interface Resources {
  /** Reachable memory after a collection, buffers included, bytes. */
  readonly bytes: number
  /** Timers, sockets and the like that keep the event loop busy. */
  readonly handles: number
  /** Open files, sockets and pipes of the process; 0 where that cannot be known. */
  readonly descriptors: number
}

/** Growth that is no leak: caches of V8, tables that fill once. */
const MEMORY_SLACK_BYTES = 12 * 1024 * 1024

let collect: (() => void) | undefined

/** Collects garbage until nothing more goes, then counts. */
export async function resourcesNow(): Promise<Resources> {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
  }
  let bytes = Number.POSITIVE_INFINITY
  for (let turn = 0; turn < 5; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 10)) // sockets that close say so on a later turn
    collect()
    const { heapUsed, external } = process.memoryUsage()
    bytes = Math.min(bytes, heapUsed + external)
  }
  return { bytes, handles: process.getActiveResourcesInfo().length, descriptors: descriptors() }
}

function descriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return 0 // no /proc here
  }
}

/** The sentence that says what grew, or undefined. */
export function leak(before: Resources, after: Resources): string | undefined {
  const bytes = after.bytes - before.bytes
  if (bytes > MEMORY_SLACK_BYTES)
    return `${Math.round(bytes / 1024)} KiB of memory are held that were not before`
  if (after.handles > before.handles)
    return `${after.handles - before.handles} timers or sockets are left over`
  if (after.descriptors > before.descriptors)
    return `${after.descriptors - before.descriptors} file descriptors are left open`
  return undefined
}
