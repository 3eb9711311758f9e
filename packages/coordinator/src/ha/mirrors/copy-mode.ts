/** How a copy that is down can come back, from what lies in its folder and in its primary's. Pure; the walreceiver decides by the same rules when it starts. */
import type { FolderFacts, Lsn, MirrorStep } from '@mirabelle/messages'
import { judgeStart, segmentStart, DEFAULT_SEGMENT_SIZE } from '@mirabelle/wal'

/** What is known of the primary: its folder, and where it is now. */
export interface SourceFacts {
  readonly folder: FolderFacts
  readonly timeline: number
  readonly flushLsn: Lsn
}

export interface ChosenMode {
  readonly mode: MirrorStep['mode']
  /** Bytes to be sent: WAL, or at most so much of the base; null when that is not known. */
  readonly bytes: number | null
}

/** The way and its bytes. `asked` stands, but for a copy that was begun and has to be completed. */
export function chooseMode(
  asked: MirrorStep['mode'],
  target: FolderFacts | null,
  source: SourceFacts | null,
): ChosenMode {
  const base = source?.folder.baseBytes ?? null
  const copy = (mode: 'differential' | 'full'): ChosenMode => ({ mode, bytes: base })
  if (asked === 'full' || asked === 'differential') return copy(asked)
  if (target === null || source === null) return { mode: asked, bytes: null }
  if (target.copying !== null) return copy(target.copying)
  if (!target.hasBase || target.wal === null) return copy('full')
  if (canFollow(target.wal, source))
    return { mode: 'incremental', bytes: Math.max(0, source.flushLsn - target.wal.endLsn) }
  return asked === 'incremental' ? { mode: 'incremental', bytes: null } : copy('differential')
}

function canFollow(wal: NonNullable<FolderFacts['wal']>, source: SourceFacts): boolean {
  if (source.folder.wal === null) return false
  const start = segmentStart(wal.endLsn, DEFAULT_SEGMENT_SIZE)
  const wish = { timeline: wal.timeline, receivedEnd: wal.endLsn, startLsn: start }
  const refusal = judgeStart(wish, {
    timeline: source.timeline,
    history: source.folder.wal.history,
    endLsn: source.flushLsn,
    oldestLsn: source.folder.wal.startLsn,
  })
  return refusal === undefined
}
