/** Brings the timeline history files that a mirror lacks into its folder of received WAL, before WAL of those timelines comes. */
import { MirabelleError } from '@mirabelle/messages'
import type { HistoryEntry, MessageOf, Timeline } from '@mirabelle/messages'
import type { Connection, Disk } from '@mirabelle/runtime'
import { historyFileName } from '../format/file-names.ts'
import { parseHistory } from '../format/history.ts'

/** Fetches the histories of all timelines after `from` up to the sender's. Throws `wal.corrupt` when one disagrees with what the sender said. */
export async function fetchHistories(options: {
  readonly disk: Disk
  readonly dir: string
  readonly connection: Connection
  readonly timeoutMs: number
  readonly from: Timeline
  readonly sender: MessageOf<'wal.identified'>
}): Promise<void> {
  const { disk, dir, connection, timeoutMs, from, sender } = options
  const timelines = [...sender.history.map((entry) => entry.timeline), sender.timeline].filter(
    (one) => one > from,
  )
  for (const timeline of timelines) {
    const { bytes } = await connection.request({ type: 'wal.history', timeline }, timeoutMs)
    const history = parseHistory(new TextDecoder().decode(bytes), timeline)
    const expected = sender.history.filter((entry) => entry.timeline < timeline)
    if (!sameHistory(history, expected))
      throw new MirabelleError(
        'wal.corrupt',
        `the history file of timeline ${timeline} does not say what dbid ${sender.dbid} said`,
      )
    await disk.writeFileDurable(`${dir}/${historyFileName(timeline)}`, bytes)
  }
}

function sameHistory(a: readonly HistoryEntry[], b: readonly HistoryEntry[]): boolean {
  return (
    a.length === b.length &&
    a.every((entry, i) => entry.timeline === b[i]?.timeline && entry.end === b[i]?.end)
  )
}
