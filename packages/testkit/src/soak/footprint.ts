/** What a cluster takes of its machine: memory, file descriptors and threads of each process, bytes on disk. Read from /proc; Linux only. */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { processesBelow } from '../cluster/processes-below.ts'

export interface ProcessFootprint {
  readonly pid: number
  /** What it does, the same whoever does it: `content 0 primary`, or `agent HOST`. */
  readonly name: string
  readonly rssMiB: number
  readonly fds: number
  readonly threads: number
}

export interface Footprint {
  readonly processes: readonly ProcessFootprint[]
  readonly diskMiB: number
}

/** What runs below the folder of a cluster, and what lies there. `instances`: what each instance is by its pid; the rest are agents. */
export function footprintOf(dir: string, instances: ReadonlyMap<number, string>): Footprint {
  const processes = processesBelow(dir).flatMap((pid) => processFootprint(pid, instances.get(pid)) ?? [])
  return {
    processes: processes.toSorted((a, b) => a.name.localeCompare(b.name)),
    diskMiB: mib(bytesBelow(dir)),
  }
}

function processFootprint(pid: number, instance: string | undefined): ProcessFootprint | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    return {
      pid,
      name: instance ?? `agent ${basename(readlinkSync(`/proc/${pid}/cwd`))}`,
      rssMiB: Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024),
      fds: readdirSync(`/proc/${pid}/fd`).length,
      threads: Number(/Threads:\s+(\d+)/.exec(status)?.[1] ?? 0),
    }
  } catch (error) {
    // It has ended meanwhile.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

/** Bytes that files really take. */
function bytesBelow(dir: string): number {
  let bytes = 0
  for (const entry of readdirSync(dir, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue
    try {
      bytes += statSync(join(entry.parentPath, entry.name)).blocks * 512
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error // deleted meanwhile
    }
  }
  return bytes
}

function mib(bytes: number): number {
  return Math.round(bytes / 2 ** 20)
}
