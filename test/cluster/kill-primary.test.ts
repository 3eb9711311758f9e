// `kill -9` of a primary under 16 writers: its mirror takes over, nothing acknowledged is lost or doubled, the other content goes on.
import t from 'tap'
import { inSync, isFaultless, Ledger, TestCluster, waitFor, Writers } from '@mirabelle/testkit/cluster'

const ROUNDS = 3
const WARM_ROWS = 200

t.test('a primary killed under 16 writers is taken over and no acknowledged row is lost', async (t) => {
  const cluster = await TestCluster.start({ segments: 2 })
  t.teardown(() => cluster.close())
  await cluster.query('CREATE TABLE rows (id bigint, writer int, note text) DISTRIBUTED BY (id)')
  const ledger = new Ledger()
  const writers = new Writers({
    count: 16,
    contents: 2,
    ledger,
    table: 'rows',
    addresses: () => cluster.addresses,
  })
  t.teardown(() => writers.stop())
  const failovers: number[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    await cluster.waitForCatalog('all pairs in sync', inSync)
    const content = round % 2
    const before = ledger.count('acked')
    await waitFor('writers at work', () => ledger.count('acked') > before + WARM_ROWS)
    const { dbid } = await cluster.primaryOf(content)
    const pid = (await cluster.pids()).get(dbid) as number
    const killedAt = performance.now()
    process.kill(pid, 'SIGKILL')
    const rows = await cluster.waitForCatalog(`a takeover of content ${content}`, (all) =>
      all.some((row) => row.dbid === dbid && row.role === 'm'),
    )
    const catalogMs = performance.now() - killedAt
    t.match(
      rows.find((row) => row.dbid === dbid),
      { role: 'm', status: 'd', mode: 'n' },
      'the old primary is a mirror, down, not in sync',
    )
    t.match(
      rows.find((row) => row.content === content && row.dbid !== dbid),
      { role: 'p', status: 'u', mode: 'n' },
      'the old mirror is the primary, up, not in sync',
    )
    const caughtUpAt = performance.now()
    await waitFor('rows of both contents', () =>
      [0, 1].every((one) => ledger.acksOf(one, caughtUpAt).length > 20),
    )
    const outage = ledger.longestGap(content, killedAt)
    const failoverMs = outage.endsAtMs - killedAt
    const other = ledger.longestGap(1 - content, killedAt, caughtUpAt)
    failovers.push(failoverMs)
    t.comment(
      `content ${content}: first acknowledgement ${Math.round(failoverMs)} ms after the kill (in the catalog, as a client sees it, after ${Math.round(catalogMs)} ms); ` +
        `longest pause of the other content ${Math.round(other.gapMs)} ms; errors since: ${JSON.stringify([...ledger.errors(killedAt)])}`,
    )
    t.ok(failoverMs < 10_000, 'taken over within ten seconds')
    t.ok(other.gapMs < 5_000, 'the other content goes on')
    await cluster.heal()
  }
  await writers.stop()
  const found = await cluster.query<{ id: string }>('SELECT id FROM rows')
  const verdict = ledger.judge(found.map(({ id }) => Number(id)))
  t.comment(
    `failover ms: ${failovers.map(Math.round).join(', ')}; median ${Math.round(median(failovers))}; acked ${verdict.acked}, failed ${verdict.failed}, unknown ${verdict.unknown} (${verdict.unknownPresent} there)`,
  )
  t.ok(isFaultless(verdict), 'no row lost, doubled or unexpected', { diagnostic: true, found: verdict })
  t.ok(verdict.acked > ROUNDS * WARM_ROWS)
})

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number
}
