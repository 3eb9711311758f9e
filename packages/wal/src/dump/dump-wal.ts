/** The core of `mirabelle waldump`: the records of a WAL folder one after the other, a segment in memory at a time. */
import type { Lsn, Timeline } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'
import { findWalEnd } from '../files/find-wal-end.ts'
import { createWalFiles } from '../files/wal-files.ts'
import { segmentStart } from '../format/constants.ts'
import { timelineSpans } from '../format/history.ts'
import { WalValidator } from '../format/wal-validator.ts'
import type { WalProblem, WalRecord } from '../format/wal-record.ts'
import { describeRecord } from './describe-record.ts'
import type { RecordDescription } from './describe-record.ts'

export interface DumpWalOptions {
  readonly disk: Disk
  /** A folder with segment files. */
  readonly dir: string
  /** The newest by default. */
  readonly timeline?: Timeline
  /** Records that start at or after it; the first segment by default. */
  readonly from?: Lsn
  /** Records that start before it. */
  readonly to?: Lsn
  /** Only this transaction, only this resource manager (its name, any case). */
  readonly xid?: number
  readonly rmgr?: string
}

/** Yields the records of a folder; returns why it ended, undefined at the usual end of WAL (or when the folder has none). */
export async function* dumpWal(
  options: DumpWalOptions,
): AsyncGenerator<RecordDescription, WalProblem | undefined> {
  const { disk, dir } = options
  const found = await findWalEnd(disk, dir, {
    ...(options.timeline === undefined ? {} : { timeline: options.timeline }),
    ...(options.from === undefined ? {} : { from: options.from }),
  })
  if (found === undefined) return undefined
  const { timeline, history, segmentSize } = found
  const files = createWalFiles({ disk, folders: [dir], segmentSize })
  const to = Math.min(options.to ?? Infinity, found.problem === undefined ? found.endLsn : Infinity)
  let records: WalRecord[] = []
  let position = segmentStart(options.from ?? found.startLsn, segmentSize)
  const validator = new WalValidator({
    start: position,
    atRecord: false,
    segmentSize,
    collect: true,
    onRecord: (record) => records.push(record),
    ...(timeline === 1 || history.length > 0 ? { spans: timelineSpans(history, timeline) } : {}),
  })
  const wanted = options.rmgr?.toLowerCase()
  while (validator.problem === undefined && position < to) {
    const end = segmentStart(position, segmentSize) + segmentSize
    const bytes = await files.read({ timeline, history, from: position, to: end })
    validator.push(bytes)
    position += bytes.length
    for (const record of records) {
      if (record.lsn < (options.from ?? 0)) continue
      if (record.lsn >= to) return undefined
      const description = describeRecord(record)
      if (wanted !== undefined && description.rmgr.toLowerCase() !== wanted) continue
      if (options.xid !== undefined && record.xid !== options.xid) continue
      yield description
    }
    records = []
  }
  return found.problem
}
