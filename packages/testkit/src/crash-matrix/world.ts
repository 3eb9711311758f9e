/**
 * The cluster that commands are killed on: real processes with fault points, clients that write all the time, and the steps that bring it from wherever a round
 * left it to where the next one begins.
 */
import { openCluster, type Cluster } from 'mirabelle'
import { FaultPoints } from '../cluster/fault-points.ts'
import { Load } from '../cluster/load.ts'
import { inSync, TestCluster, type CatalogRow } from '../cluster/test-cluster.ts'
import { waitFor } from '../cluster/wait-for.ts'

const SETTLE_MS = 180_000
const WRITERS = { count: 3, kinds: ['one', 'many', 'transaction'], restMs: 60 } as const

export class World {
  readonly cluster: TestCluster
  readonly faults: FaultPoints
  #load: Load
  #tables = 0

  private constructor(cluster: TestCluster, load: Load) {
    this.cluster = cluster
    this.faults = new FaultPoints(cluster)
    this.#load = load
  }

  static async start(): Promise<World> {
    FaultPoints.allow()
    const cluster = await TestCluster.start({ segments: 2, settings: { gp_fts_probe_interval: '2s' } })
    await cluster.waitForCatalog('all pairs in sync', inSync)
    return new World(cluster, await Load.start(cluster, { ...WRITERS, table: 'load_0' }))
  }

  async close(): Promise<void> {
    await this.#load.stop().catch(() => undefined) // its cluster may be in any state
    await this.cluster.close()
  }

  get dir(): string {
    return this.cluster.dir
  }

  /** The cluster as its description is now: commands of other processes have changed it. */
  async admin(): Promise<Cluster> {
    await this.cluster.lookAgain()
    return openCluster(this.dir)
  }

  async rows(): Promise<CatalogRow[]> {
    return waitFor('an answer of the catalog', () => this.cluster.catalog(), 60_000)
  }
  async primary(content: number): Promise<CatalogRow> {
    return rowOf(await this.rows(), content, 'p')
  }
  async mirror(content: number): Promise<CatalogRow> {
    return rowOf(await this.rows(), content, 'm')
  }
  async standby(): Promise<CatalogRow | undefined> {
    return (await this.rows()).find(({ content, role }) => content === -1 && role === 'm')
  }
  async coordinator(): Promise<number> {
    return (await this.cluster.lookAgain()).coordinatorDbid
  }

  /** Pids by dbid of what runs, as the agents say. */
  async pids(): Promise<Map<number, number>> {
    const all = await (await this.admin()).instances()
    return new Map(all.flatMap(({ dbid, pid }) => (pid === null ? [] : [[dbid, pid] as const])))
  }

  /** SIGKILL, if it runs. Resolves with whether it did. */
  async kill(dbid: number): Promise<boolean> {
    const pid = (await this.pids()).get(dbid)
    if (pid === undefined) return false
    return killPid(pid)
  }

  async waitForRows(what: string, wanted: (rows: readonly CatalogRow[]) => boolean): Promise<void> {
    await waitFor(
      what,
      async () => {
        await this.cluster.lookAgain()
        return wanted(await this.cluster.catalog())
      },
      60_000,
    )
  }

  /** No fault is set any more, in no process that runs or will be started. */
  async noFaults(): Promise<void> {
    FaultPoints.atStart()
    const { rows, hosts } = await this.cluster.lookAgain()
    const targets = [...rows.map(({ dbid }) => dbid), ...hosts.map(({ name }) => ({ agent: name }))]
    // What does not run has none.
    await Promise.all(targets.map((target) => this.faults.reset(target).catch(() => undefined)))
  }

  /** Starts what should run and brings every mirror in sync: what an administrator does after a crash. */
  async settle(): Promise<void> {
    await this.noFaults()
    await waitFor(
      'the cluster to be whole again',
      async () => {
        const admin = await this.admin()
        await admin.start()
        const results = await admin.recover({ timeoutMs: 60_000 })
        const failed = results.filter(({ outcome }) => outcome === 'failed')
        if (failed.length > 0) throw new Error(failed.map(({ message }) => message).join('; '))
        await this.cluster.lookAgain()
        return isWhole(await this.cluster.catalog())
      },
      SETTLE_MS,
      500,
    )
  }

  /** Clients are answered on both contents. */
  async serves(): Promise<void> {
    await this.cluster.lookAgain()
    const since = performance.now()
    for (const content of [0, 1]) await this.#load.acksOn(content, since, 3)
  }

  /** What clients were told is what the table holds: compared while they go on. Empty when it is so. */
  async lost(): Promise<string[]> {
    const { units } = this.#load.ledger
    const acked = units.filter(({ outcome }) => outcome === 'acked').flatMap(({ ids }) => ids)
    const rows = await waitFor(
      'the rows of the load',
      () => this.cluster.query<{ id: string }>(`SELECT id FROM load_${this.#tables}`),
      60_000,
    )
    const there = new Set(rows.map(({ id }) => Number(id)))
    const missing = acked.filter((id) => !there.has(id))
    return [
      ...(missing.length === 0
        ? []
        : [`${missing.length} acknowledged rows are lost: ${missing.slice(0, 5).join(', ')}`]),
      ...(there.size === rows.length ? [] : [`${rows.length - there.size} rows are there twice`]),
    ]
  }

  /** The whole judgement, with the clients stopped; a new table begins. Empty when it is well. */
  async judge(): Promise<string[]> {
    await this.#load.stop()
    const { lost, doubled, unexpected, torn } = await this.#load.judge()
    this.#tables += 1
    this.#load = await Load.start(this.cluster, { ...WRITERS, table: `load_${this.#tables}` })
    return Object.entries({ lost, doubled, unexpected, torn }).flatMap(([what, found]) =>
      found.length === 0 ? [] : [`${found.length} ${what}: ${JSON.stringify(found.slice(0, 3))}`],
    )
  }
}

/** Everything is up, and in sync where there are mirrors. */
function isWhole(rows: readonly CatalogRow[]): boolean {
  const mirrored = rows.some(({ content, role }) => content >= 0 && role === 'm')
  return mirrored ? inSync(rows) : rows.every(({ status }) => status === 'u')
}

/** Resolves with whether there was such a process. */
export function killPid(pid: number): boolean {
  try {
    process.kill(pid, 'SIGKILL')
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    return false
  }
}

function rowOf(rows: readonly CatalogRow[], content: number, role: 'p' | 'm'): CatalogRow {
  const found = rows.find((row) => row.content === content && row.role === role)
  if (found === undefined) throw new Error(`content ${content} has no row of role ${role}`)
  return found
}
