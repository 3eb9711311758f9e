/**
 * Watches what is deleted: WAL that was received and that the base in place needs stays, whatever is done about another base. Made with the promise watch of a simulation; a
 * broken promise ends the run.
 */
import { receivedWalDir } from '@mirabelle/instance'
import { formatLsn } from '@mirabelle/messages'
import { parseWalFileName, segmentStart } from '@mirabelle/wal'
import { hasDatabase, labelOf } from './sim-base.ts'
import type { SimCluster } from './sim-cluster.ts'
import type { SimProcess } from './sim-process.ts'
import { SIM_SEGMENT_BYTES } from './sim-wal-paths.ts'
import { SimFailure } from './sim-world.ts'

export class BaseWatch {
  readonly #cluster: SimCluster

  constructor(cluster: SimCluster) {
    this.#cluster = cluster
  }

  /** Looks at every file that goes from now on. */
  watch(): void {
    for (const host of this.#cluster.hosts.values())
      host.onRemoved = (process, path) => this.#removed(process, path)
  }

  #removed(process: SimProcess, path: string): void {
    const running = this.#cluster.instanceIn(process)
    if (running === undefined || running.instance.roleState !== 'mirror') return
    const { datadir, dbid } = running.assignment
    const folder = `${receivedWalDir(datadir)}/`
    const segment = path.startsWith(folder)
      ? parseWalFileName(path.slice(folder.length), SIM_SEGMENT_BYTES)
      : undefined
    if (segment === undefined || !hasDatabase(process.host.files, datadir)) return
    const { startLsn } = labelOf(process.host.files, datadir)
    const { flushLsn } = running.instance.probed()
    if (segment.start < segmentStart(startLsn, SIM_SEGMENT_BYTES) || segment.start >= flushLsn) return
    this.#cluster.world.fail(
      new SimFailure(
        'I5',
        `dbid ${dbid} deletes WAL from ${formatLsn(segment.start)} on, and its base needs all from ${formatLsn(startLsn)} to ${formatLsn(flushLsn)}`,
      ),
    )
  }
}
