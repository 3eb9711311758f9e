/**
 * Watches the rows of dtx_committed, by which whoever finds a prepared transaction learns that it was committed: none goes while one of those that take part has still
 * to commit it, and what earlier coordinators have left goes. Made with the promise watch of a simulation; a broken promise ends the run.
 */
import type { Content, Dbid, Timeline } from '@mirabelle/messages'
import type { RunningInstance, SimCluster } from './sim-cluster.ts'
import { SimFailure } from './sim-world.ts'

/** Of a name: the incarnation of the coordinator that gave it, and who takes part. */
const GID = /^mb_([0-9a-f]+)_\d+_(.+)$/

export class DtxWatch {
  readonly #cluster: SimCluster
  /** The newest timeline on which a database was open for writing: who is open on an older one has been replaced. */
  readonly #newest = new Map<Content, Timeline>()

  constructor(cluster: SimCluster) {
    this.#cluster = cluster
    cluster.onForgets = (gid, dbid) => this.#forgets(gid, dbid)
  }

  /** Those that act, or would if anybody asked them. */
  #primaries(): RunningInstance[] {
    const open = [...this.#cluster.running.values()].filter(({ engine }) => engine.position !== undefined)
    for (const { assignment, engine } of open) {
      const before = this.#newest.get(assignment.content) ?? 0
      this.#newest.set(assignment.content, Math.max(before, engine.timeline))
    }
    return open.filter(({ assignment, engine }) => engine.timeline === this.#newest.get(assignment.content))
  }

  #forgets(gid: string, dbid: Dbid): void {
    const contents = (GID.exec(gid)?.[2] ?? '').split('.').map(Number)
    for (const { assignment, engine } of this.#primaries()) {
      if (!contents.includes(assignment.content) || !engine.store.prepared.has(gid)) continue
      this.#cluster.world.fail(
        new SimFailure(
          'I9',
          `dbid ${dbid} forgets that ${gid} was committed, which dbid ${assignment.dbid} has still to commit`,
        ),
      )
    }
  }

  /** At the end: a coordinator that has reached all contents has deleted what earlier ones had left, unless something came between. */
  leftNothing(): void {
    const service = this.#cluster.coordinator()?.service
    const { lanes } = service?.dispatcher ?? {}
    if (service === undefined || lanes === undefined) return
    if (this.#cluster.lackedRoom || [...lanes.values()].some(({ term }) => term > 0)) return
    for (const { assignment, engine } of this.#primaries())
      for (const gid of engine.store.dtxCommitted)
        if (GID.exec(gid)?.[1] !== service.incarnation)
          throw new SimFailure(
            'I9',
            `dbid ${assignment.dbid} still remembers ${gid}, which an earlier coordinator has committed everywhere`,
          )
  }
}
