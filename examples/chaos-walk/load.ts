/**
 * Clients that write under the walk, and what they were told. A unit is one statement with one row, or one transaction with two rows that mostly live
 * on two segments; no id is ever used twice and nothing is sent again, so the table can be compared with the answers.
 */
import pg from 'pg'

type Outcome = 'acked' | 'failed' | 'unknown'

interface Unit {
  readonly ids: readonly number[]
  readonly outcome: Outcome
}

export interface Verdict {
  readonly acked: number
  readonly failed: number
  readonly unknown: number
  readonly lost: number
  readonly doubled: number
  /** Rows of refused units that are there. */
  readonly unexpected: number
  /** Units of which only a part is there. */
  readonly torn: number
}

const RECONNECT_MS = 100
const STATEMENT_MS = 40_000

export class Load {
  readonly #connectionString: () => string
  readonly #units: Unit[] = []
  readonly #writers: Promise<void>[] = []
  #nextId = 1
  #isOn = true

  /** `connectionString` is asked at each connect: the coordinator can move. */
  constructor(connectionString: () => string) {
    this.#connectionString = connectionString
  }

  begin(writers: number): void {
    for (let i = 0; i < writers; i += 1) this.#writers.push(this.#writer())
  }
  get acked(): number {
    return this.#units.filter(({ outcome }) => outcome === 'acked').length
  }
  async end(): Promise<void> {
    this.#isOn = false
    await Promise.all(this.#writers)
  }

  /** Compares the ids in the table with the answers. */
  judge(found: readonly number[]): Verdict {
    const times = new Map<number, number>()
    for (const id of found) times.set(id, (times.get(id) ?? 0) + 1)
    const there = ({ ids }: Unit) => ids.filter((id) => times.has(id)).length
    const of = (outcome: Outcome) => this.#units.filter((unit) => unit.outcome === outcome)
    return {
      acked: of('acked').length,
      failed: of('failed').length,
      unknown: of('unknown').length,
      lost: of('acked').filter((unit) => there(unit) < unit.ids.length).length,
      doubled: [...times.values()].filter((count) => count > 1).length,
      unexpected: of('failed').filter((unit) => there(unit) > 0).length,
      torn: this.#units.filter((unit) => there(unit) > 0 && there(unit) < unit.ids.length).length,
    }
  }

  async #writer(): Promise<void> {
    while (this.#isOn) {
      const client = new pg.Client({
        connectionString: this.#connectionString(),
        connectionTimeoutMillis: 2_000,
        query_timeout: STATEMENT_MS,
      })
      client.on('error', () => undefined) // the query that waits is rejected, and then a new connection is made
      try {
        await client.connect()
        while (this.#isOn && (await this.#unit(client)));
      } catch {
        // Nobody lets us in now.
      }
      await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS))
      client.end().catch(() => undefined) // it may be lost already
    }
  }

  /** One unit; resolves with whether the connection can be used further. */
  async #unit(client: pg.Client): Promise<boolean> {
    const id = this.#nextId
    this.#nextId += 2
    const isPair = id % 4 === 1
    const ids = isPair ? [id, id + 1] : [id]
    try {
      await client.query(`INSERT INTO walk VALUES ${ids.map((one) => `(${one})`).join(', ')}`)
      this.#units.push({ ids, outcome: 'acked' })
      return true
    } catch (error) {
      const { code } = error as { code?: string }
      // An SQLSTATE says that nothing was done, except for class 08 (and 57P01: the end of the session), which leaves it open.
      const isUnknown = code === undefined || !/^[0-9A-Z]{5}$/.test(code) || /^(08|57P)/.test(code)
      this.#units.push({ ids, outcome: isUnknown ? 'unknown' : 'failed' })
      return !isUnknown
    }
  }
}
