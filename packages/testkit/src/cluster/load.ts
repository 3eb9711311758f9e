/** Load on a test cluster: a table, clients that write to it, and the verdict about what they were told. */
import { Ledger, type Verdict } from './ledger.ts'
import type { TestCluster } from './test-cluster.ts'
import { waitFor } from './wait-for.ts'
import { Writers, type WriteKind } from './writers.ts'

const DEFAULT_REST_MS = 30

export interface LoadOptions {
  readonly count: number
  readonly kinds?: readonly WriteKind[]
  readonly apart?: boolean
  /** Time between an answer and the next statement of a client, ms. Default 30: load all the time, and a processor for what the test looks at. */
  readonly restMs?: number
  /** A client that gets no answer for so long connects anew, ms. Default: it waits for ever. */
  readonly answerMs?: number
  /** Default `load`. Made when it is not there. */
  readonly table?: string
  /** To go on with the book of an earlier load on the same table. */
  readonly ledger?: Ledger
}

export class Load {
  readonly ledger: Ledger
  readonly #cluster: TestCluster
  readonly #writers: Writers
  readonly #table: string

  private constructor(cluster: TestCluster, writers: Writers, ledger: Ledger, table: string) {
    this.#cluster = cluster
    this.#writers = writers
    this.ledger = ledger
    this.#table = table
  }

  static async start(cluster: TestCluster, options: LoadOptions): Promise<Load> {
    const { table = 'load', ledger = new Ledger(), restMs = DEFAULT_REST_MS, ...rest } = options
    if (ledger.units.length === 0)
      await cluster.query(
        `CREATE TABLE IF NOT EXISTS ${table} (id bigint, writer int, note text) DISTRIBUTED BY (id)`,
      )
    const addresses = () => cluster.addresses
    const writers = new Writers({ ...rest, restMs, ledger, table, contents: cluster.contents, addresses })
    return new Load(cluster, writers, ledger, table)
  }

  /** Waits for so many more acknowledgements in all; resolves with the moment when they were there. */
  async acks(more: number, limitMs = 60_000): Promise<number> {
    const before = this.ledger.count('acked')
    await waitFor(`${more} acknowledged units`, () => this.ledger.count('acked') >= before + more, limitMs)
    return performance.now()
  }

  /** Waits for so many acknowledgements on a content since a moment. */
  async acksOn(content: number, sinceMs: number, atLeast = 20, limitMs = 60_000): Promise<void> {
    await waitFor(
      `${atLeast} acknowledged units on content ${content}`,
      () => this.ledger.acksOf(content, sinceMs).length >= atLeast,
      limitMs,
    )
  }

  /** Resolves when every client has its last answer. */
  stop(): Promise<void> {
    return this.#writers.stop()
  }

  /** Compares what clients were told with what the table holds; stop it first. */
  async judge(): Promise<Verdict> {
    const rows = await this.#cluster.query<{ id: string }>(`SELECT id FROM ${this.#table}`)
    return this.ledger.judge(rows.map(({ id }) => Number(id)))
  }
}

/** For a comment of a test. */
export function describeVerdict(verdict: Verdict): string {
  const { acked, failed, unknown, unknownPresent, lost, doubled, unexpected, torn } = verdict
  return `${acked} acknowledged, ${failed} refused, ${unknown} unknown (${unknownPresent} of them there); ${lost.length} lost, ${doubled.length} doubled, ${unexpected.length} unexpected, ${torn.length} torn`
}
