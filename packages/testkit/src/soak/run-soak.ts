/**
 * One soak: a cluster of real processes, clients that never rest, a primary killed again and again, taken over and recovered. Started by `npm run soak` or a test; everything
 * that it started has ended when it resolves or rejects. It compares two moments of rest: after the first failovers, when all code is loaded, and at the end.
 */
import { inSync, TestCluster } from '../cluster/test-cluster.ts'
import { pause, waitFor } from '../cluster/wait-for.ts'
import { Counters, TABLE_SQL } from './counters.ts'
import { footprintOf, type Footprint } from './footprint.ts'
import { growthBetween } from './growth.ts'

export interface SoakOptions {
  readonly statements: number
  readonly failovers: number
  readonly clients: number
  readonly tell?: (line: string) => void
}

export interface SoakSummary {
  readonly statements: number
  readonly failovers: number
  readonly seconds: number
  readonly before: Footprint
  readonly after: Footprint
  readonly errors: Readonly<Record<string, number>>
  /** Rows that differ from what clients were told. */
  readonly wrong: readonly string[]
  /** What takes more than it took. */
  readonly grown: readonly string[]
}

/** WAL is kept short, so that checkpoints, removal of WAL and new bases of mirrors happen many times. */
const SETTINGS = { max_wal_size: '32MB', checkpoint_timeout: '30s', mirror_base_refresh_size: '64MB' }
const WARM_UP_FAILOVERS = 4
const WARM_UP_STATEMENTS = 20_000
const TAKEOVER_MS = 60_000
const PROGRESS_MS = 120_000
/** Time without load before something is measured: connections close, heaps are collected, tables are vacuumed. */
const REST_MS = 20_000

export async function runSoak(options: SoakOptions): Promise<SoakSummary> {
  const { statements, failovers, clients, tell = () => undefined } = options
  const beganAt = performance.now()
  const cluster = await TestCluster.start({ segments: 2, settings: SETTINGS })
  try {
    await cluster.query(TABLE_SQL)
    await cluster.query(Counters.fill(clients))
    const counters = new Counters(clients, () => cluster.addresses)
    counters.start()
    await cluster.waitForCatalog('all pairs in sync', inSync, TAKEOVER_MS)
    await failOver(cluster, counters, WARM_UP_FAILOVERS, WARM_UP_STATEMENTS, tell)
    await counters.stop()
    const before = await restAndMeasure(cluster, tell)

    counters.start()
    await failOver(cluster, counters, failovers, statements, tell)
    await counters.stop()
    const after = await restAndMeasure(cluster, tell)
    const rows = await cluster.query<{ id: string; n: string }>('SELECT id, n FROM soak')
    return {
      statements: counters.statements,
      failovers,
      seconds: Math.round((performance.now() - beganAt) / 1000),
      before,
      after,
      errors: Object.fromEntries(counters.errors),
      wrong: counters.judge(rows.map(({ id, n }) => ({ id: Number(id), n: Number(n) }))),
      grown: growthBetween(before, after),
    }
  } finally {
    await cluster.close()
  }
}

/** Kills the primary of each content in turn, with the statements spread over the failovers. */
async function failOver(
  cluster: TestCluster,
  counters: Counters,
  failovers: number,
  statements: number,
  tell: (line: string) => void,
): Promise<void> {
  const first = counters.statements
  for (let n = 1; n <= failovers; n++) {
    const { dbid } = await cluster.primaryOf(n % cluster.contents)
    await cluster.cluster.kill(dbid)
    await cluster.waitForCatalog(
      `the mirror of dbid ${dbid} to be primary`,
      (rows) => rows.some((row) => row.dbid === dbid && row.role === 'm'),
      TAKEOVER_MS,
    )
    await cluster.heal()
    const wanted = first + Math.floor((statements * n) / failovers)
    await waitFor(`${wanted} statements`, () => counters.statements >= wanted, PROGRESS_MS + statements)
    if (n % 10 === 0 || n === failovers)
      tell(`${n} failovers, ${counters.statements} statements acknowledged`)
  }
}

async function restAndMeasure(cluster: TestCluster, tell: (line: string) => void): Promise<Footprint> {
  await pause(REST_MS)
  const { instances } = await cluster.cluster.state()
  const names = instances.flatMap(({ pid, content, role }) =>
    pid === null ? [] : [[pid, `content ${content} ${role === 'p' ? 'primary' : 'mirror'}`] as const],
  )
  const footprint = footprintOf(cluster.dir, new Map(names))
  for (const { name, rssMiB, fds, threads } of footprint.processes)
    tell(`  ${name.padEnd(20)} ${rssMiB} MiB, ${fds} open files, ${threads} threads`)
  tell(`  files                ${footprint.diskMiB} MiB`)
  return footprint
}
