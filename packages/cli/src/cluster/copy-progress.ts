/** Says how far copies are while an action lasts: bytes, rate, time left, for each instance, whenever that has changed and a moment has passed. */
import type { CopyState, SegmentRow } from '@mirabelle/messages'
import { askInstance } from './coordinators.ts'
import type { Cluster } from './cluster.ts'

const LOOK_EVERY_MS = 500
const STATUS_MS = 1_500

export async function withProgress<T>(
  cluster: Cluster,
  rows: readonly SegmentRow[],
  work: () => Promise<T>,
): Promise<T> {
  const said = new Map<number, string>()
  let over = false
  const lookAt = async (row: SegmentRow): Promise<void> => {
    const { status } = await askInstance(cluster, row, STATUS_MS)
    if (over || status === undefined || status.dbid !== row.dbid) return
    const now = status.copy === null ? status.detail : copyLine(status.copy, cluster.clock.now())
    if (now === '' || said.get(row.dbid) === now) return
    said.set(row.dbid, now)
    cluster.reporter.say(`${row.hostname} (dbid ${row.dbid}): ${now}`)
  }
  const look = async (): Promise<void> => {
    await Promise.all(rows.map(lookAt))
    if (!over) timer = cluster.clock.setTimer(LOOK_EVERY_MS, () => void look())
  }
  let timer = cluster.clock.setTimer(LOOK_EVERY_MS, () => void look())
  try {
    return await work()
  } finally {
    over = true
    timer.clear()
  }
}

/** `full copy: 120.3 of 402.6 MB (29%), 84.1 MB/s, 4 s left`. */
export function copyLine(copy: CopyState, nowMs: number): string {
  const { mode, step, bytesDone, bytesTotal, startedAt } = copy
  if (bytesTotal === 0) return `${mode} copy: ${step}`
  const seconds = Math.max(0.001, (nowMs - startedAt) / 1000)
  const rate = bytesDone / seconds
  const left = rate === 0 ? '' : `, ${Math.ceil((bytesTotal - bytesDone) / rate)} s left`
  const percent = Math.floor((100 * bytesDone) / bytesTotal)
  return `${mode} copy: ${megabytes(bytesDone)} of ${megabytes(bytesTotal)} MB (${percent}%), ${megabytes(rate)} MB/s${left}`
}

/** Bytes as megabytes, for people. */
export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1)
}
