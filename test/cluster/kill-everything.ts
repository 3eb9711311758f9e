// `kill -9` of all processes at once under load, then start: shared by the short test and the long one.
import type { Test } from 'tap'
import {
  describeVerdict,
  inSync,
  isFaultless,
  Load,
  TestCluster,
  waitFor,
  type Ledger,
} from '@mirabelle/testkit/cluster'

/** Rounds of: write to all contents, kill agents, coordinator, standby and segments together, start, compare. */
export async function killEverything(t: Test, rounds: number): Promise<void> {
  const cluster = await TestCluster.start({ segments: 2 })
  t.teardown(() => cluster.close())
  let ledger: Ledger | undefined
  for (let round = 1; round <= rounds; round += 1) {
    const load = await Load.start(cluster, {
      count: 12,
      kinds: ['one', 'many', 'transaction'],
      ...(ledger === undefined ? {} : { ledger }),
    })
    ledger = load.ledger
    await load.acks(150)
    const killed = cluster.killEverything()
    await load.stop()
    await waitFor('the end of all processes', () => cluster.processes().length === 0)
    t.equal(killed.length, 9, `round ${round}: three agents and six instances were killed`)
    const beganAt = performance.now()
    await cluster.cluster.start({ timeoutMs: 60_000, syncTimeoutMs: 60_000 })
    const startMs = Math.round(performance.now() - beganAt)
    const verdict = await load.judge()
    t.comment(
      `round ${round}: started in ${startMs} ms; ${describeVerdict(verdict)}; ${JSON.stringify([...load.ledger.errors()])}`,
    )
    t.ok(isFaultless(verdict), 'everything acknowledged is there once, transactions whole or not at all', {
      found: verdict,
    })
    // What is in doubt holds its lanes, so the count above has waited for the decisions; their last rows may still be under way.
    await waitFor(
      'no transaction in doubt',
      async () => (await cluster.cluster.state()).cluster.inDoubt === 0,
      15_000,
    )
    await cluster.waitForCatalog('all pairs in sync', inSync, 60_000)
  }
}
