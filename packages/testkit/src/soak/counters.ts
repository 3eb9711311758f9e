/**
 * The load of a soak: a fixed number of rows, so that what the cluster takes may not grow. Each client owns some rows and adds to them, reads them, and adds to two at once in a
 * transaction; it knows for each row how often it was told that it had added, and how often it was told nothing.
 */
import type pg from 'pg'
import { connectToAny, outcomeOf, type Address } from '../cluster/writers.ts'
import { pause } from '../cluster/wait-for.ts'

const ROWS_OF_A_CLIENT = 64
const RETRY_MS = 20
export const TABLE_SQL = 'CREATE TABLE soak (id bigint PRIMARY KEY, n bigint NOT NULL) DISTRIBUTED BY (id)'

interface Row {
  acked: number
  unknown: number
}

export class Counters {
  readonly #count: number
  readonly #addresses: () => readonly Address[]
  readonly #rows: Row[]
  #running: Promise<void>[] = []
  #statements = 0
  #errors = new Map<string, number>()
  #stopping = false

  /** For `count` clients on the filled table. */
  constructor(count: number, addresses: () => readonly Address[]) {
    this.#count = count
    this.#addresses = addresses
    this.#rows = Array.from({ length: count * ROWS_OF_A_CLIENT }, () => ({ acked: 0, unknown: 0 }))
  }

  /** Starts the clients, again after a stop. */
  start(): void {
    this.#stopping = false
    this.#running = Array.from({ length: this.#count }, (_, client) => this.#run(client))
  }

  /** The statement that fills the table; run it before the first client is started. */
  static fill(count: number): string {
    return `INSERT INTO soak SELECT i, 0 FROM generate_series(0, ${count * ROWS_OF_A_CLIENT - 1}) i`
  }

  /** Statements acknowledged so far. */
  get statements(): number {
    return this.#statements
  }
  /** SQLSTATEs of what was not acknowledged, with how often each came. */
  get errors(): ReadonlyMap<string, number> {
    return this.#errors
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#running)
  }

  /** Rows that are not what the clients were told, of all rows of the table. */
  judge(found: readonly { readonly id: number; readonly n: number }[]): string[] {
    const wrong: string[] = []
    if (found.length !== this.#rows.length)
      wrong.push(`${found.length} rows of ${this.#rows.length} are there`)
    for (const { id, n } of found) {
      const { acked = 0, unknown = 0 } = this.#rows[id] ?? {}
      if (n < acked || n > acked + unknown)
        wrong.push(
          `row ${id} holds ${n}; ${acked} additions were acknowledged, of ${unknown} nothing is known`,
        )
    }
    return wrong
  }

  async #run(client: number): Promise<void> {
    const first = client * ROWS_OF_A_CLIENT
    let connection: pg.Client | undefined
    for (let turn = 0; !this.#stopping; turn++) {
      connection ??= await connectToAny(this.#addresses())
      if (connection === undefined) {
        await pause(RETRY_MS)
        continue
      }
      const row = first + ((turn * 7) % ROWS_OF_A_CLIENT)
      const other = first + ((turn * 7 + 1) % ROWS_OF_A_CLIENT)
      if (!(await this.#step(connection, turn, row, other))) {
        connection.end().catch(() => undefined) // it may be dead already
        connection = undefined
      }
    }
    await connection?.end().catch(() => undefined) // it may have died since its last answer
  }

  /** One piece of work. False when the connection is of no more use. */
  async #step(connection: pg.Client, turn: number, row: number, other: number): Promise<boolean> {
    const kind = turn % 8
    const added = kind === 0 ? [row, other] : kind < 6 ? [row] : []
    try {
      if (kind === 0) {
        await connection.query('BEGIN')
        for (const id of added) await connection.query('UPDATE soak SET n = n + 1 WHERE id = $1', [id])
        await connection.query('COMMIT')
      } else if (kind < 6) await connection.query('UPDATE soak SET n = n + 1 WHERE id = $1', [row])
      else await connection.query('SELECT n FROM soak WHERE id = $1', [row])
      for (const id of added) (this.#rows[id] as Row).acked++
      this.#statements += kind === 0 ? 4 : 1
      return true
    } catch (error) {
      const code = (error as { code?: string }).code ?? 'connection'
      this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1)
      if (outcomeOf(error) === 'unknown') for (const id of added) (this.#rows[id] as Row).unknown++
      return connection.query('ROLLBACK').then(
        () => true,
        () => false,
      )
    }
  }
}
