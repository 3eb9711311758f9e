/**
 * One connection of a client, and what its answers mean. Opened by a client, closed when it is lost or when nobody knows what it does. The classification is as sharp as
 * the protocol allows: what was not yet told to commit can not have been committed, whatever became of the connection.
 */
import pg from 'pg'
import { describeError, isTimeout, outcomeOf, type Address } from '../../cluster/writers.ts'
import type { Json } from '../history/op.ts'
import { copy } from './copy.ts'

const CONNECT_MS = 3_000
/** How long a client waits for one answer: longer than any failover takes, shorter than a hung coordinator. */
const ANSWER_MS = 12_000

/** How statements are sent: as text, with parameters, or prepared by name. */
export const protocolModes = ['simple', 'extended', 'prepared'] as const
export type ProtocolMode = (typeof protocolModes)[number]

/** The client itself takes the operation back: it is rolled back, and counts as refused. */
export class TakenBack extends Error {
  override readonly name = 'TakenBack'
}

export interface Step {
  readonly f: string
  readonly asked: Json
  readonly contents: readonly number[]
  /** It changes nothing, so without an answer it has done nothing. */
  readonly isReadOnly: boolean
  readonly final?: boolean
  /** Resolves with what it was told. */
  readonly run: (session: Session) => Promise<Json>
}

export interface Outcome {
  readonly type: 'ok' | 'fail' | 'info'
  readonly value: Json
  readonly error: string
  /** False: the connection is lost, or nobody knows what it waits for. */
  readonly isUsable: boolean
}

export class Session {
  readonly #client: pg.Client
  readonly #mode: ProtocolMode
  #inTransaction = false
  #committing = false

  private constructor(client: pg.Client, mode: ProtocolMode) {
    this.#client = client
    this.#mode = mode
  }

  /** Connects to the first address that lets clients in; undefined when none does now. */
  static async open(addresses: readonly Address[], mode: ProtocolMode): Promise<Session | undefined> {
    for (const { host, port } of addresses) {
      const client = new pg.Client({
        host,
        port,
        user: 'postgres',
        database: 'postgres',
        connectionTimeoutMillis: CONNECT_MS,
        query_timeout: ANSWER_MS,
      })
      client.on('error', () => undefined) // a connection that dies between statements shows at the next one
      try {
        await client.connect()
        return new Session(client, mode)
      } catch {
        client.end().catch(() => undefined) // dead, or not yet letting clients in: the next address is asked
      }
    }
    return undefined
  }

  /** Runs a statement whose parameters are whole numbers. */
  async query(text: string, values: readonly number[] = []): Promise<pg.QueryResult<Record<string, string>>> {
    if (this.#mode === 'simple')
      return this.#client.query(
        text.replace(/\$(\d+)/g, (_, place: string) => String(values[Number(place) - 1])),
      )
    const statement = { text, values: [...values] }
    return this.#client.query(
      this.#mode === 'prepared' ? { ...statement, name: statementName(text) } : statement,
    )
  }

  /** COPY FROM STDIN with these rows, or TO STDOUT: resolves with the rows that come. */
  async copy(text: string, rows: readonly (string | number)[] = []): Promise<string[]> {
    const output = await copy(this.#client, text, rows.map((row) => `${row}\n`).join(''))
    return output.split('\n').slice(0, -1)
  }

  /** BEGIN, the work, COMMIT. */
  async transaction<T>(work: () => Promise<T>): Promise<T> {
    this.#inTransaction = true
    await this.query('BEGIN')
    const result = await work()
    this.#committing = true
    const { command } = await this.query('COMMIT')
    // Of a transaction that had failed it says ROLLBACK.
    if (command !== 'COMMIT') throw Object.assign(new Error(`COMMIT answered ${command}`), { code: '40000' })
    this.#inTransaction = false
    this.#committing = false
    return result
  }

  /** Runs a step and says what is known of it. */
  async attempt(step: Step): Promise<Outcome> {
    try {
      return { type: 'ok', value: await step.run(this), error: '', isUsable: true }
    } catch (error) {
      const type = this.#typeOf(error, step)
      const isUsable = !isTimeout(error) && (await this.#reset())
      return { type, value: step.asked, error: describeError(error), isUsable }
    }
  }

  #typeOf(error: unknown, { isReadOnly }: Step): 'fail' | 'info' {
    const wasOpen = this.#inTransaction && !this.#committing
    if (error instanceof TakenBack || isReadOnly || wasOpen) return 'fail'
    return outcomeOf(error) === 'failed' || wasNeverSent(error) ? 'fail' : 'info'
  }

  /** Ends the transaction, if any; false when the connection is lost. */
  async #reset(): Promise<boolean> {
    this.#inTransaction = false
    this.#committing = false
    try {
      await this.#client.query('ROLLBACK')
      return true
    } catch {
      return false // the step's own error has been recorded; this one only says that the connection is gone
    }
  }

  /** Resolves at once: a lost connection cannot be waited for. */
  close(): void {
    this.#client.end().catch(() => undefined) // it may be lost already
  }
}

/** 57P01 mostly says that a server went away; said of a content, that the statement never reached it. What was under way there gets 08007. */
function wasNeverSent(error: unknown): boolean {
  const { code, message } = error as { readonly code?: string; readonly message?: string }
  return code === '57P01' && /^content \d+ (is unavailable|could not be reached)/.test(message ?? '')
}

const names = new Map<string, string>()

/** PostgreSQL's names are short. */
function statementName(text: string): string {
  const name = names.get(text) ?? `chaos${names.size}`
  names.set(text, name)
  return name
}
