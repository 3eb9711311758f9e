/** The clients of the demo: ordinary node-postgres connections, one row a statement, as fast as the answers come. */
import pg from 'pg'
import { contentOfKey } from '@mirabelle/sql'
import type { Ledger } from './ledger.ts'

const CONNECT_MS = 2_000
const RETRY_MS = 20

export interface Address {
  readonly host: string
  readonly port: number
}

export interface WritersOptions {
  readonly count: number
  readonly segments: number
  /** Coordinator and standby: whichever lets clients in is used. */
  readonly addresses: readonly Address[]
  readonly ledger: Ledger
  readonly now: () => number
}

/** The content that a row with this distribution key belongs to. */
function contentOf(id: number, segments: number): number {
  return contentOfKey([{ value: String(id), format: 0, type: 'bigint' }], segments, undefined, [])
}

/** Connects to the first address that lets clients in; undefined when none does now. */
export async function connectToAny(addresses: readonly Address[]): Promise<pg.Client | undefined> {
  for (const { host, port } of addresses) {
    const client = new pg.Client({
      host,
      port,
      user: 'postgres',
      database: 'postgres',
      connectionTimeoutMillis: CONNECT_MS,
    })
    // A connection that dies between statements shows at the next one.
    client.on('error', () => undefined)
    try {
      await client.connect()
      return client
    } catch {
      client.end().catch(() => undefined) // dead, or not yet letting clients in: the next address is asked
    }
  }
  return undefined
}

export class Writers {
  readonly #options: WritersOptions
  readonly #running: Promise<void>[] = []
  #stopping = false
  #reconnects = 0

  constructor(options: WritersOptions) {
    this.#options = options
  }

  /** How often a client had to connect anew. */
  get reconnects(): number {
    return this.#reconnects
  }

  start(): void {
    for (let i = 0; i < this.#options.count; i += 1) this.#running.push(this.#write(i))
  }

  /** Resolves when each has its last answer. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#running)
  }

  /** An id of the writer's own content: clients of one content must not be held up by another one's failure. */
  #nextId(content: number): number {
    for (;;) {
      const id = this.#options.ledger.take()
      if (contentOf(id, this.#options.segments) === content) return id
    }
  }

  async #write(writer: number): Promise<void> {
    const { ledger, segments, addresses, now } = this.#options
    let client: pg.Client | undefined
    while (!this.#stopping) {
      client ??= await connectToAny(addresses)
      if (client === undefined) {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
        continue
      }
      const id = this.#nextId(writer % segments)
      const sentAtMs = now()
      try {
        await client.query('INSERT INTO demo_rows VALUES ($1, $2, $3)', [id, writer, `row ${id}`])
        ledger.acked(id, { content: writer % segments, sentAtMs, atMs: now() })
      } catch {
        // Whatever the error says, the row may be there: only an answer without error is an acknowledgement.
        ledger.unknown(id)
        client.end().catch(() => undefined) // it may be dead already
        client = undefined
        this.#reconnects += 1
      }
    }
    await client?.end().catch(() => undefined) // it may have died since its last answer
  }
}
