/**
 * Where the WAL of each instance is, looked at once a second: for the picture, and to see which instance says that it is what. Started and stopped by the run; an instance
 * that does not answer has no sample.
 */
import type { TestCluster } from '../../cluster/test-cluster.ts'
import type { ClusterView, Seen } from '../faults/cluster-view.ts'

const EVERY_MS = 1_000
const ANSWER_MS = 900

export interface WalSample {
  readonly timeMs: number
  readonly dbid: number
  readonly content: number
  readonly role: 'p' | 'm'
  readonly state: string
  readonly timeline: number
  /** End of durable WAL. */
  readonly flushLsn: number
  readonly rssBytes: number
}

export class WalSampler {
  readonly samples: WalSample[] = []
  readonly #cluster: TestCluster
  readonly #now: () => number
  #timer: NodeJS.Timeout | undefined
  #underWay: Promise<unknown> = Promise.resolve()

  constructor(cluster: TestCluster, view: ClusterView, now: () => number) {
    this.#cluster = cluster
    this.#now = now
    this.#timer = setInterval(() => {
      this.#underWay = Promise.all(view.seen.map((one) => this.#sample(one)))
    }, EVERY_MS)
  }

  /** Resolves with the last answer. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#timer = undefined
    await this.#underWay
  }

  async #sample({ endpoint, dbid, content }: Seen): Promise<void> {
    try {
      const status = await this.#cluster.ask(endpoint, { type: 'instance.status' }, ANSWER_MS)
      const { role, roleState: state, timeline, flushLsn, rssBytes } = status
      // Another instance may have taken over its port.
      if (status.dbid !== dbid) return
      this.samples.push({ timeMs: this.#now(), dbid, content, role, state, timeline, flushLsn, rssBytes })
    } catch {
      // It is dead or stopped, which is what the gap in its line says.
    }
  }
}
