/** Before WAL is asked for again that found the disk full: whether there is room now. */
import { diskFullWords, MirabelleError } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'

/** The segment that is being received, one that PostgreSQL restores, and what it replays into. */
const SEGMENTS = 3

/** Rejects with `disk.full` while there is none: a stream that breaks again at once would only look like a mirror that comes and goes. */
export async function expectRoom(disk: Disk, dir: string, segmentSize: number): Promise<void> {
  const free = await disk.freeBytes(dir)
  if (free >= SEGMENTS * segmentSize) return
  throw new MirabelleError(
    'disk.full',
    `${diskFullWords(dir)} (${free} bytes are free, WAL is received again when there are ${SEGMENTS * segmentSize})`,
  )
}
