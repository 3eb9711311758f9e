/**
 * An application that places orders while its database loses a primary and then its coordinator. Usage:
 *
 *     npx tsx examples/failover-app/app.ts [--seconds 3] [--clients 8]
 *
 * Exit status 0 only if every acknowledged order is there exactly once, with all of its lines.
 */
import { parseArgs } from 'node:util'
import type { Cluster } from 'mirabelle'
import { runExample, storyteller } from '../lib/run-example.ts'
import { withCluster } from '../lib/with-cluster.ts'
import { FailoverPool } from './failover-pool.ts'
import { audit, createTables } from './orders.ts'
import { Shop } from './shop.ts'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '3' }, clients: { type: 'string', default: '8' } },
})
const phaseMs = Number(values.seconds) * 1000
const clients = Number(values.clients)

await runExample(() => withCluster({ segments: 2 }, run))

async function run(cluster: Cluster): Promise<boolean> {
  const tell = storyteller()
  const standby = cluster.standby
  if (standby === null) throw new Error('the cluster has no standby coordinator')
  const pool = new FailoverPool([cluster.coordinator, standby], { max: clients })
  const shop = new Shop(pool)
  try {
    await createTables(pool)
    tell(`${clients} clients place orders at ports ${cluster.coordinator.port} and ${standby.port}`)
    const working = shop.open(clients)
    await pause(phaseMs)

    const primary = (await cluster.state()).instances.find(
      ({ content, role }) => content === 0 && role === 'p',
    )
    if (primary === undefined) throw new Error('content 0 has no primary')
    shop.beginGap()
    await cluster.kill(primary.dbid)
    tell(`kill -9 of the primary of content 0 (dbid ${primary.dbid}); ${shop.orders.length} orders so far`)
    await pause(phaseMs)
    tell(`the longest time without an order was ${shop.longestGapMs()} ms`)

    shop.beginGap()
    await cluster.kill(cluster.coordinator.dbid)
    tell(`kill -9 of the coordinator; ${shop.orders.length} orders so far`)
    const activated = await cluster.activateStandby()
    tell(`the standby coordinator took over in ${activated.elapsedMs} ms, epoch ${activated.epoch}`)
    await pause(phaseMs)
    tell(`the longest time without an order was ${shop.longestGapMs()} ms`)

    shop.close()
    await working
    const found = await audit(pool, shop.orders)
    tell(`acknowledged ${shop.orders.length}, found ${found.found}, refused ${shop.refused.length}`)
    tell(`lost ${found.lost.length}, doubled ${found.doubled.length}, torn ${found.torn.length}`)
    for (const [reason, times] of pool.retries) tell(`tried again ${times} times after ${reason}`)
    for (const reason of new Set(shop.refused)) tell(`refused: ${reason}`)
    const ok =
      shop.orders.length > 0 && [found.lost, found.doubled, found.torn].every(({ length }) => length === 0)
    tell(ok ? 'OK: every acknowledged order is there exactly once' : 'FAILED')
    return ok
  } finally {
    shop.close()
    await pool.end()
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
