/** The parts of the wal package as an instance uses them. */
import type { Ports } from '@mirabelle/runtime'
import {
  createWalFiles,
  createWalReceiver,
  createWalSenderHub,
  findWalEnd,
  parseHistory,
  type WalReader,
} from '@mirabelle/wal'
import type { WalParts } from './instance-options.ts'
import type { WalEnd } from './mirror/wal-end.ts'

export const realWalParts: WalParts = {
  createHub: createWalSenderHub,
  createReceiver: createWalReceiver,
  createReader,
  findEnd,
  async history(ports, folders, timeline) {
    if (timeline === 1) return []
    const bytes = await createReader(ports, folders).readHistory(timeline)
    return bytes === undefined ? [] : parseHistory(new TextDecoder().decode(bytes), timeline)
  },
}

function createReader(ports: Ports, folders: readonly string[]): WalReader {
  return createWalFiles({ disk: ports.disk, folders })
}

/**
 * The newest of the folders' ends: a mirror has its WAL in `wal`, an ex-primary in `pg_wal`, one that was both has some in each. The last folder is
 * the one that replay reads first: where a record in it is damaged, replay ends, so its end counts on its timeline even when `pg_wal` still
 * has a whole copy of that segment. Taking the copy's end would acknowledge WAL that a promotion then loses.
 */
async function findEnd(ports: Ports, folders: readonly string[]): Promise<WalEnd | undefined> {
  let best: WalEnd | undefined
  let missed: WalEnd['missed']
  for (const folder of folders) {
    const end = await findWalEnd(ports.disk, folder)
    if (end === undefined) continue
    if (end.problem !== undefined) {
      ports.log.warn(
        { folder, lsn: end.endLsn, problem: end.problem, segmentsBeyond: end.segmentsBeyond },
        end.segmentsBeyond > 0
          ? 'a WAL record inside the folder is corrupt: WAL is taken up to the record before it and received anew from there'
          : 'WAL ends with a record that is not whole: it is taken up to the last good one',
      )
    }
    const { timeline, endLsn: receivedEnd, history, problem } = end
    const found: WalEnd = {
      timeline,
      receivedEnd,
      history,
      ...(problem !== undefined && end.segmentsBeyond > 0 ? { damaged: true as const } : {}),
    }
    const binds = problem !== undefined && folder === folders.at(-1) && best?.timeline === timeline
    missed ??= best === undefined ? undefined : missedBy(best, found)
    best = binds ? found : laterEnd(best, found)
  }
  return best === undefined || missed === undefined ? best : { ...best, missed }
}

/** What PostgreSQL's own WAL has left out of what was received, when it has begun its timeline before the end of that. */
export function missedBy(own: WalEnd, received: WalEnd): WalEnd['missed'] {
  const at = own.history.find((entry) => entry.timeline === received.timeline)?.end
  return at !== undefined && received.receivedEnd > at ? { at, received: received.receivedEnd } : undefined
}

/**
 * Which of two ends of WAL is further: on one timeline the greater; else the newer timeline, unless it has just been begun to be followed
 * and the older one, not beyond the fork, holds more.
 */
export function laterEnd(a: WalEnd | undefined, b: WalEnd): WalEnd {
  if (a === undefined) return b
  if (a.timeline === b.timeline) return b.receivedEnd > a.receivedEnd ? b : a
  const [newer, older] = a.timeline > b.timeline ? [a, b] : [b, a]
  const fork = newer.history.find((entry) => entry.timeline === older.timeline)?.end
  const holdsMore = fork !== undefined && older.receivedEnd <= fork && older.receivedEnd > newer.receivedEnd
  return holdsMore ? older : newer
}
