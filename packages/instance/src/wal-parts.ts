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

/** The newest of the folders' ends: a mirror has its WAL in `wal`, an ex-primary in `pg_wal`, one that was both has some in each. */
async function findEnd(ports: Ports, folders: readonly string[]): Promise<WalEnd | undefined> {
  let best: WalEnd | undefined
  for (const folder of folders) {
    const end = await findWalEnd(ports.disk, folder)
    if (end === undefined) continue
    if (end.problem !== undefined) {
      ports.log.warn(
        { folder, lsn: end.endLsn, problem: end.problem, segmentsBeyond: end.segmentsBeyond },
        'WAL ends with a record that is not whole: it is taken up to the last good one',
      )
    }
    const newer =
      best === undefined ||
      end.timeline > best.timeline ||
      (end.timeline === best.timeline && end.endLsn > best.receivedEnd)
    if (newer) best = { timeline: end.timeline, receivedEnd: end.endLsn, history: end.history }
  }
  return best
}
