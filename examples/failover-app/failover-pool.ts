/**
 * node-postgres over several addresses. libpq takes `host=a,b` with `target_session_attrs=read-write`; node-postgres takes one host, so this keeps
 * a pool for each address and uses the one that lets clients in. `transact` repeats a transaction that failed for a reason that passes:
 * it must be safe to run twice, so give what it writes an id of its own.
 */
import pg from 'pg'

export interface Address {
  readonly host: string
  readonly port: number
}

/** A client on which no statement is waited for any longer than this, ms. */
const STATEMENT_MS = 40_000
const CONNECT_MS = 2_000
const PAUSE_MS = 50

/**
 * What passes by itself. 40001 and 40P01: the transaction was rolled back (a failover took a segment that it had touched, or a deadlock). 57P01 to 57P03:
 * the server is going down, or is a standby. 08xxx and 25006: the connection or the server behind it is gone, or the outcome is unknown (08007).
 */
export function isWorthRetrying(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  if (typeof code !== 'string') return isLostConnection(error)
  return /^(40001|40P01|57P0[1-3]|08...|25006|53300)$/.test(code) || isLostConnection(error)
}

/** Errors of the socket (ECONNREFUSED, ECONNRESET …) and of node-postgres, which have no SQLSTATE. */
function isLostConnection(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown }
  if (typeof code === 'string' && /^E[A-Z]{3,}$/.test(code)) return true
  return (
    code === undefined &&
    typeof message === 'string' &&
    /connection|timeout|client has encountered/i.test(message)
  )
}

export class FailoverPool {
  readonly #pools: readonly pg.Pool[]
  /** Index of the pool that worked last. */
  #current = 0
  /** How often something was tried again, by SQLSTATE or message. */
  readonly retries = new Map<string, number>()

  constructor(addresses: readonly Address[], options: { readonly max: number }) {
    this.#pools = addresses.map(({ host, port }) => {
      const pool = new pg.Pool({
        host,
        port,
        user: 'postgres',
        database: 'postgres',
        max: options.max,
        connectionTimeoutMillis: CONNECT_MS,
        query_timeout: STATEMENT_MS,
      })
      // A client that idles in the pool while its server dies: the pool drops it, nobody waits for it.
      pool.on('error', () => undefined)
      return pool
    })
  }

  /** Runs `work` in a transaction until it is committed. Rejects with an error that does not pass, or with the last one after `limitMs`. */
  async transact<T>(work: (client: pg.PoolClient) => Promise<T>, limitMs = 30_000): Promise<T> {
    const giveUpAt = performance.now() + limitMs
    for (;;) {
      const tried = this.#current
      try {
        return await this.#once(tried, work)
      } catch (error) {
        if (!isWorthRetrying(error) || performance.now() > giveUpAt) throw error
        this.#count(error)
        // Somebody else may have found the right address meanwhile.
        if (this.#current === tried && !isRolledBack(error)) this.#current = (tried + 1) % this.#pools.length
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
      }
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.end()))
  }

  async #once<T>(index: number, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await (this.#pools[index] as pg.Pool).connect()
    // Without a listener the end of a connection in use would end the process; the query that waits is rejected anyway.
    const ignore = (): void => undefined
    client.on('error', ignore)
    let usable = false
    try {
      await client.query('BEGIN')
      const result = await work(client)
      await client.query('COMMIT')
      usable = true
      return result
    } catch (error) {
      usable = await client.query('ROLLBACK').then(
        () => true,
        () => false,
      )
      throw error
    } finally {
      client.removeListener('error', ignore)
      client.release(!usable)
    }
  }

  #count(error: unknown): void {
    const { code, message } = error as { code?: string; message?: string }
    const name = code ?? message ?? String(error)
    this.retries.set(name, (this.retries.get(name) ?? 0) + 1)
  }
}

/** The session lives on: the address is the right one. */
function isRolledBack(error: unknown): boolean {
  return /^(40001|40P01|57P01|08007)$/.test((error as { code?: string }).code ?? '')
}
