/**
 * Clients that write as fast as they are answered: ordinary node-postgres connections, each waiting for its answer before the next statement.
 * They go on through every failure, connect anew when their connection is lost, and enter each outcome into the ledger.
 */
import pg from 'pg'
import { contentOfKey } from '@mirabelle/sql'
import type { Ledger, Outcome } from './ledger.ts'
import { pause } from './wait-for.ts'

const RETRY_MS = 20
const CONNECT_MS = 3_000

export interface Address {
  readonly host: string
  readonly port: number
}

export interface WritersOptions {
  readonly count: number
  readonly contents: number
  readonly ledger: Ledger
  readonly table: string
  /** Whichever lets clients in is used. */
  readonly addresses: () => readonly Address[]
  /**
   * `one`: a row a statement; `many`: rows of several contents in one statement; `transaction`: the same in BEGIN … COMMIT.
   * Writer number n uses the n-th, counted round.
   */
  readonly kinds?: readonly WriteKind[]
  /** Each client of kind `one` keeps to one content (the n-th to n modulo their number), so that none waits for another content. */
  readonly apart?: boolean
  /** Time between an answer and the next statement, ms. */
  readonly restMs?: number
  /** A connection on which an answer takes longer is given up, ms. Default: never; who may be cut off from the server needs it. */
  readonly answerMs?: number
}

export type WriteKind = 'one' | 'many' | 'transaction'

/** The content that a row with this distribution key (a bigint) belongs to. */
export function contentOf(id: number, contents: number): number {
  return contentOfKey([{ value: String(id), format: 0, type: 'bigint' }], contents, undefined, [])
}

/** Connects to the first address that lets clients in; undefined when none does now. */
export async function connectToAny(
  addresses: readonly Address[],
  answerMs?: number,
): Promise<pg.Client | undefined> {
  for (const { host, port } of addresses) {
    const client = new pg.Client({
      host,
      port,
      user: 'postgres',
      database: 'postgres',
      connectionTimeoutMillis: CONNECT_MS,
      ...(answerMs === undefined ? {} : { query_timeout: answerMs }),
    })
    client.on('error', () => undefined) // a connection that dies between statements shows at the next one
    try {
      await client.connect()
      return client
    } catch {
      client.end().catch(() => undefined) // dead, or not yet letting clients in: the next address is asked
    }
  }
  return undefined
}

/**
 * What an error says about the work: refused for certain, or unknown. Lost connections have no SQLSTATE; 08007 says that it is not known, and so do
 * the classes of a server that goes away.
 */
export function outcomeOf(error: unknown): Exclude<Outcome, 'acked'> {
  const code = (error as { readonly code?: unknown }).code
  if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code)) return 'unknown'
  return /^(08|57P01|57P02|57P03|XX|58)/.test(code) ? 'unknown' : 'failed'
}

export function describeError(error: unknown): string {
  const { code, message } = error as { readonly code?: string; readonly message?: string }
  return `${code ?? '-----'} ${message ?? String(error)}`
}

export class Writers {
  readonly #options: WritersOptions
  readonly #running: Promise<void>[] = []
  #stopping = false
  #reconnects = 0

  constructor(options: WritersOptions) {
    this.#options = options
    const kinds = options.kinds ?? ['one']
    for (let i = 0; i < options.count; i += 1)
      this.#running.push(this.#write(i, kinds[i % kinds.length] as WriteKind))
  }

  /** How often a client had to connect anew. */
  get reconnects(): number {
    return this.#reconnects
  }

  /** Resolves when each has its last answer. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#running)
  }

  async #write(writer: number, kind: WriteKind): Promise<void> {
    const { ledger, addresses, contents, restMs = 0, answerMs } = this.#options
    let client: pg.Client | undefined
    while (!this.#stopping) {
      if (client === undefined) {
        client = await connectToAny(addresses(), answerMs)
        if (client === undefined) await pause(RETRY_MS)
        continue
      }
      const ids = this.#idsFor(writer, kind)
      const about = { ids, contents: [...new Set(ids.map((id) => contentOf(id, contents)))] }
      const beganAtMs = performance.now()
      let outcome: Outcome = 'acked'
      let error = ''
      try {
        await this.#send(client, kind, ids, writer)
      } catch (caught) {
        outcome = outcomeOf(caught)
        error = describeError(caught)
        // What is sent after a timeout would wait behind the same statement.
        if (isTimeout(caught) || !(await stillGood(client))) {
          client.end().catch(() => undefined) // it may be dead already
          client = undefined
          this.#reconnects += 1
        }
      }
      ledger.record({ ...about, outcome, error, beganAtMs, endedAtMs: performance.now() })
      if (restMs > 0 || outcome !== 'acked') await pause(Math.max(restMs, outcome === 'acked' ? 0 : RETRY_MS))
    }
    await client?.end().catch(() => undefined) // it may have died since its last answer
  }

  #idsFor(writer: number, kind: WriteKind): number[] {
    const { ledger, contents, apart = false } = this.#options
    if (kind !== 'one') return Array.from({ length: 2 * contents }, () => ledger.take())
    let id = ledger.take()
    while (apart && contentOf(id, contents) !== writer % contents) id = ledger.take()
    return [id]
  }

  async #send(client: pg.Client, kind: WriteKind, ids: readonly number[], writer: number): Promise<void> {
    const { table } = this.#options
    const values = ids.map((id) => `(${id}, ${writer}, 'row ${id}')`)
    if (kind !== 'transaction') {
      await client.query(`INSERT INTO ${table} VALUES ${values.join(', ')}`)
      return
    }
    await client.query('BEGIN')
    for (const value of values) await client.query(`INSERT INTO ${table} VALUES ${value}`)
    const { command } = await client.query('COMMIT')
    if (command !== 'COMMIT') throw Object.assign(new Error(`COMMIT answered ${command}`), { code: '40000' })
  }
}

/** The driver has given up waiting. */
export function isTimeout(error: unknown): boolean {
  return (error as Error).message === 'Query read timeout'
}

/** After an error: ends the transaction, if any; false when the connection is lost. */
async function stillGood(client: pg.Client): Promise<boolean> {
  try {
    await client.query('ROLLBACK')
    return true
  } catch {
    return false // the work's own error has been recorded; this one only says that the connection is gone
  }
}
