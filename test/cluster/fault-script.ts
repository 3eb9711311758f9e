/**
 * Scripts of steps on one cluster of real processes with fault points. Each script begins with all pairs in sync and leaves the cluster as it likes; what
 * clients were told goes into one book, which is compared with the tables at the end of each script.
 */
import { connect } from 'node:net'
import type { Test } from 'tap'
import type pg from 'pg'
import {
  contentOf,
  inSync,
  FaultPoints,
  TestCluster,
  waitFor,
  type CatalogRow,
} from '@mirabelle/testkit/cluster'

/** The coordinator, until a standby is activated. */
export const COORDINATOR = 1

/** A statement under way. */
export interface Running {
  /** Its answer, or its error, has come. */
  readonly over: boolean
  /** Resolves to undefined or to what it failed with; never rejects. */
  readonly outcome: Promise<Failure | undefined>
  readonly ids: readonly number[]
  /** Sends a cancel request, as psql does on Ctrl-C. */
  cancel(): Promise<void>
}

export interface Failure {
  readonly code: string | undefined
  readonly message: string
}

export class Script {
  readonly cluster: TestCluster
  readonly faults: FaultPoints
  readonly #acked = new Set<number>()
  /** Groups of ids of which all or none must be there. */
  readonly #whole: number[][] = []
  readonly #refused = new Set<number>()
  #next = 1

  private constructor(cluster: TestCluster) {
    this.cluster = cluster
    this.faults = new FaultPoints(cluster)
  }

  static async start(t: Test, settings: Record<string, string> = {}): Promise<Script> {
    FaultPoints.allow()
    const cluster = await TestCluster.start({ segments: 2, settings })
    t.teardown(() => cluster.close())
    const script = new Script(cluster)
    await cluster.query('CREATE TABLE book (id bigint) DISTRIBUTED BY (id)')
    await cluster.waitForCatalog('all pairs in sync', inSync)
    return script
  }

  /** An id that nobody has used, of this content. */
  id(content: number): number {
    let id = this.#next++
    while (contentOf(id, 2) !== content) id = this.#next++
    return id
  }

  /** Inserts rows of these contents by one statement, on a connection of its own; its outcome goes into the book. */
  insert(...contents: number[]): Running {
    return this.#write(contents, (client, values) =>
      client.query(`INSERT INTO book VALUES ${values.join(', ')}`),
    )
  }

  /** The same in an explicit transaction, a statement for each row. */
  transaction(...contents: number[]): Running {
    return this.#write(contents, async (client, values) => {
      await client.query('BEGIN')
      for (const value of values) await client.query(`INSERT INTO book VALUES ${value}`)
      await client.query('COMMIT')
    })
  }

  #write(
    contents: readonly number[],
    send: (client: pg.Client, values: string[]) => Promise<unknown>,
  ): Running {
    const ids = contents.map((content) => this.id(content))
    this.#whole.push(ids)
    const state = { over: false }
    let client: pg.Client | undefined
    const run = async (): Promise<Failure | undefined> => {
      client = await this.cluster.connect()
      try {
        await send(
          client,
          ids.map((id) => `(${id})`),
        )
        for (const id of ids) this.#acked.add(id)
        return undefined
      } catch (error) {
        const { code, message } = error as Failure
        if (code !== undefined && !/^(08|57P0|XX|58)/.test(code)) for (const id of ids) this.#refused.add(id)
        return { code, message }
      } finally {
        state.over = true
        client.end().catch(() => undefined) // its server may be gone
      }
    }
    const outcome = run()
    return {
      ids,
      outcome,
      get over() {
        return state.over
      },
      cancel: async () => {
        await cancelRequest(client as pg.Client)
      },
    }
  }

  /** Writes one row to each content and waits for the answers. */
  async writes(t: Test, what: string): Promise<void> {
    for (const content of [0, 1])
      t.equal(await this.insert(content).outcome, undefined, `${what}: content ${content} takes writes`)
  }

  /** Rows of a content: `dbid role mode status`. */
  async pair(content: number): Promise<{ primary: CatalogRow; mirror: CatalogRow; is: string }> {
    const rows = (await this.cluster.catalog()).filter((row) => row.content === content)
    const by = (role: string) => rows.find((row) => row.role === role) as CatalogRow
    const [primary, mirror] = [by('p'), by('m')]
    const say = (row: CatalogRow) => `${row.role}${row.mode}${row.status}`
    return { primary, mirror, is: `${say(primary)} ${say(mirror)}` }
  }

  /** Descriptions that were added to the history by `work`, oldest first. */
  async history(work: () => Promise<void>): Promise<string[]> {
    const all = async () =>
      (
        await this.cluster.query<{ description: string }>(
          'SELECT description FROM gp_configuration_history ORDER BY time',
        )
      ).map(({ description }) => description)
    const before = (await all()).length
    await work()
    return (await all()).slice(before)
  }

  /** Resolves with the pid of what was killed. */
  kill(dbid: number): Promise<number> {
    return this.cluster.cluster.kill(dbid)
  }

  /** The process of an instance has ended, whoever ended it: any, or this one, when somebody may be starting another. */
  async died(dbid: number, pid?: number): Promise<void> {
    await waitFor(`the end of dbid ${dbid}`, async () => {
      const now = (await this.cluster.pids()).get(dbid)
      return pid === undefined ? now === undefined : now !== pid
    })
  }

  /** Ends all faults, starts what does not run, and brings everything in sync again. */
  async heal(): Promise<void> {
    FaultPoints.atStart()
    const running = await this.cluster.pids()
    await Promise.all([...running.keys()].map((dbid) => this.faults.reset(dbid).catch(() => undefined))) // it may be about to end
    await this.cluster.cluster.start()
    await this.cluster.lookAgain()
    await waitFor(
      'the cluster to be as it was',
      async () => {
        await this.cluster.heal()
        return true
      },
      120_000,
    )
  }

  /** What clients were told is what the table holds. */
  async judge(t: Test): Promise<void> {
    const rows = await this.cluster.query<{ id: string }>('SELECT id FROM book')
    const times = new Map<number, number>()
    for (const { id } of rows) times.set(Number(id), (times.get(Number(id)) ?? 0) + 1)
    const torn = this.#whole.filter((ids) => {
      const there = ids.filter((id) => times.has(id)).length
      return there !== 0 && there !== ids.length
    })
    t.match(
      {
        lost: [...this.#acked].filter((id) => !times.has(id)),
        doubled: [...times].filter(([, count]) => count > 1).map(([id]) => id),
        refused: [...this.#refused].filter((id) => times.has(id)),
        torn,
      },
      { lost: [], doubled: [], refused: [], torn: [] },
      'nothing acknowledged is lost, nothing is doubled, refused and yet there, or there in part',
    )
  }

  /** One script: from a healthy cluster, with the judgement at its end. */
  row(t: Test, name: string, steps: (t: Test) => Promise<void>): void {
    void t.test(name, async (one) => {
      const beganAt = performance.now()
      await this.heal()
      await steps(one)
      await this.heal()
      await this.judge(one)
      one.comment(`${Math.round(performance.now() - beganAt)} ms`)
    })
  }
}

/** What psql sends on Ctrl-C: a cancel request on a connection of its own. Resolves when the server has taken it. */
function cancelRequest(client: pg.Client): Promise<void> {
  const { host, port, processID, secretKey } = client as pg.Client & { processID: number; secretKey: number }
  const message = Buffer.alloc(16)
  ;[16, 80_877_102, processID, secretKey].forEach((value, i) => message.writeInt32BE(value, i * 4))
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port }, () => socket.end(message))
    socket.once('error', reject)
    socket.once('close', () => resolve())
    socket.resume()
  })
}
