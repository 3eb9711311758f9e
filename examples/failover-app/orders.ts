/** The application's own part: a shop that places orders. An order is one transaction over two tables. Both are distributed by
 * the order's id, so all of an order is on one segment, and its transaction needs no other. */
import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import type { FailoverPool } from './failover-pool.ts'

const LINES_AN_ORDER = 2

export async function createTables(pool: FailoverPool): Promise<void> {
  await pool.transact(async (client) => {
    await client.query(
      'CREATE TABLE orders (id uuid PRIMARY KEY, customer text NOT NULL) DISTRIBUTED BY (id)',
    )
    await client.query(
      'CREATE TABLE order_lines (order_id uuid, line int, article int, PRIMARY KEY (order_id, line)) DISTRIBUTED BY (order_id)',
    )
  })
}

/** Places an order; resolves with its id once it is committed. The id is made here, so running the transaction again places no second order. */
export async function placeOrder(
  pool: FailoverPool,
  customer: string,
  firstArticle: number,
): Promise<string> {
  const id = randomUUID()
  await pool.transact(async (client) => {
    // After 08007 or a lost connection nobody knows whether the COMMIT took effect. If the order is there, all of it is.
    const { rowCount } = await client.query(
      'INSERT INTO orders (id, customer) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING',
      [id, customer],
    )
    if (rowCount === 0) return
    for (let line = 1; line <= LINES_AN_ORDER; line += 1)
      await client.query('INSERT INTO order_lines VALUES ($1, $2, $3)', [id, line, firstArticle + line])
  })
  return id
}

export interface Audit {
  readonly found: number
  readonly lost: readonly string[]
  readonly doubled: readonly string[]
  /** Orders of which not all lines are there, or lines without their order. */
  readonly torn: readonly string[]
}

/** Compares what is in the database with the orders that were acknowledged. */
export async function audit(pool: FailoverPool, acknowledged: readonly string[]): Promise<Audit> {
  const [orders, lines] = await pool.transact(async (client) => [
    await countById(client, 'SELECT id::text, 1 AS n FROM orders'),
    await countById(client, 'SELECT order_id::text AS id, 1 AS n FROM order_lines'),
  ])
  const ids = new Set([...orders.keys(), ...lines.keys()])
  return {
    found: orders.size,
    lost: acknowledged.filter((id) => !orders.has(id)),
    doubled: [...orders].filter(([, count]) => count !== 1).map(([id]) => id),
    torn: [...ids].filter((id) => !orders.has(id) || lines.get(id) !== LINES_AN_ORDER),
  }
}

async function countById(client: pg.PoolClient, sql: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  const { rows } = await client.query<{ id: string; n: number }>(sql)
  for (const { id, n } of rows) counts.set(id, (counts.get(id) ?? 0) + n)
  return counts
}
