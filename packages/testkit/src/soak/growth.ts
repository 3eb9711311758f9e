/** Judges whether what a cluster takes has grown between two moments of rest. Pure. */
import type { Footprint, ProcessFootprint } from './footprint.ts'

/**
 * What may differ without being growth. Memory: a heap that was collected at another moment, code compiled since. Files: a connection more or less.
 * Disk: a segment of WAL that waits for its checkpoint, pages that wait for a vacuum; the run is long enough that a leak would be many times that.
 */
const ALLOWED = { rssFactor: 1.3, rssMiB: 40, fds: 12, threads: 2, diskFactor: 1.5, diskMiB: 200 } as const

/** Sentences about what has grown; none when all is where it began. A process that was started anew is compared with its predecessor. */
export function growthBetween(before: Footprint, after: Footprint): string[] {
  const found: string[] = []
  for (const now of after.processes) {
    const then = before.processes.find(({ name }) => name === now.name)
    if (then !== undefined) found.push(...growthOf(then, now))
  }
  for (const { name } of before.processes)
    if (!after.processes.some((now) => now.name === name)) found.push(`${name} does not run any more`)
  if (after.diskMiB > before.diskMiB * ALLOWED.diskFactor + ALLOWED.diskMiB)
    found.push(`the files grew from ${before.diskMiB} to ${after.diskMiB} MiB`)
  return found
}

function growthOf(then: ProcessFootprint, now: ProcessFootprint): string[] {
  const found: string[] = []
  if (now.rssMiB > then.rssMiB * ALLOWED.rssFactor + ALLOWED.rssMiB)
    found.push(`${now.name}: memory grew from ${then.rssMiB} to ${now.rssMiB} MiB`)
  if (now.fds > then.fds + ALLOWED.fds)
    found.push(`${now.name}: open files grew from ${then.fds} to ${now.fds}`)
  if (now.threads > then.threads + ALLOWED.threads)
    found.push(`${now.name}: threads grew from ${then.threads} to ${now.threads}`)
  return found
}
