/**
 * A cluster of real processes for a test: made in a temporary folder on free ports, through the same `createCluster()` that users have. Its reaper
 * ends everything and deletes the folder when the test closes it, fails, or is itself killed.
 */
import { mkdtemp, readFile, realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type pg from 'pg'
import { createCluster, type Cluster, type CreateClusterOptions } from 'mirabelle'
import type { Endpoint, MessageOf, ReplyOf, RequestType } from '@mirabelle/messages'
import { realNetwork, silentLogger, type Connection, type Hello } from '@mirabelle/runtime'
import { killBelow, processesBelow } from './processes-below.ts'
import { Reaper } from './reaper.ts'
import { waitFor } from './wait-for.ts'
import { connectToAny, type Address } from './writers.ts'

/** A row of gp_segment_configuration. */
export interface CatalogRow {
  readonly dbid: number
  readonly content: number
  readonly role: 'p' | 'm'
  readonly preferred_role: 'p' | 'm'
  readonly mode: 's' | 'n'
  readonly status: 'u' | 'd'
  readonly port: number
  readonly hostname: string
  readonly address: string
  readonly datadir: string
}

/** What a test reads of `cluster.json`. */
interface ClusterFacts {
  readonly clusterId: string
  readonly coordinatorDbid: number
  readonly standbyDbid: number | null
  readonly hosts: readonly {
    readonly name: string
    readonly addresses: readonly string[]
    readonly agentPort: number
    readonly dir: string
  }[]
  readonly rows: readonly (CatalogRow & { readonly endpoint: Endpoint })[]
}

const HELLO_MS = 3_000

export class TestCluster {
  readonly cluster: Cluster
  #facts: ClusterFacts
  readonly #reaper: Reaper
  #client: pg.Client | undefined

  private constructor(cluster: Cluster, facts: ClusterFacts, reaper: Reaper) {
    this.cluster = cluster
    this.#facts = facts
    this.#reaper = reaper
  }

  /** Makes and starts one. What was begun is cleaned up when that fails. */
  static start(options: Omit<CreateClusterOptions, 'dir'> = {}): Promise<TestCluster> {
    return TestCluster.make((dir) => createCluster({ ...options, dir }))
  }

  /** One that `make` makes in a folder and starts. The folders of its hosts must be below that folder. */
  static async make(make: (dir: string) => Promise<Cluster>): Promise<TestCluster> {
    const dir = await mkdtemp(join(await realpath(tmpdir()), 'mirabelle-test-'))
    const reaper = new Reaper(dir)
    try {
      const cluster = await make(dir)
      return new TestCluster(cluster, await readFacts(dir), reaper)
    } catch (error) {
      await reaper.cleanUp()
      throw error
    }
  }

  /** What `cluster.json` said when the cluster was made, or when it was last looked at. */
  get facts(): ClusterFacts {
    return this.#facts
  }
  /** Instances have come or gone: what is asked of them from now on is as `cluster.json` says now. */
  async lookAgain(): Promise<ClusterFacts> {
    this.#facts = await readFacts(this.dir)
    return this.#facts
  }

  get dir(): string {
    return this.cluster.dir
  }
  /** Number of contents without the coordinator's. */
  get contents(): number {
    return new Set(this.facts.rows.map(({ content }) => content).filter((content) => content >= 0)).size
  }
  /** Both instances of content -1: whichever acts lets clients in. */
  get addresses(): readonly Address[] {
    return this.facts.rows
      .filter(({ content }) => content === -1)
      .map(({ address, port }) => ({ host: address, port }))
  }
  /** An instance as planned; where it is stays true whatever its role is now. */
  instance(dbid: number): ClusterFacts['rows'][number] {
    const row = this.facts.rows.find((one) => one.dbid === dbid)
    if (row === undefined) throw new Error(`there is no dbid ${dbid}`)
    return row
  }

  /** A new connection to whichever coordinator lets clients in, waited for. The caller ends it. */
  connect(limitMs = 30_000): Promise<pg.Client> {
    return waitFor('a coordinator that lets clients in', () => connectToAny(this.addresses), limitMs)
  }

  /** Runs a statement on a connection kept for that; made anew when it is lost, but no statement is sent twice. */
  async query<Row extends object = Record<string, unknown>>(sql: string): Promise<Row[]> {
    this.#client ??= await this.#connectToAsk()
    const client = this.#client
    try {
      return (await client.query<Row>(sql)).rows
    } catch (error) {
      this.#client = undefined
      client.end().catch(() => undefined) // lost, or fit for nothing more
      throw error
    }
  }

  async #connectToAsk(): Promise<pg.Client> {
    const client = await this.connect()
    client.once('end', () => {
      if (this.#client === client) this.#client = undefined
    })
    return client
  }

  /** gp_segment_configuration in the order of dbid. */
  catalog(): Promise<CatalogRow[]> {
    return this.query<CatalogRow>('SELECT * FROM gp_segment_configuration ORDER BY dbid')
  }

  /** Waits until the catalog is as wanted; resolves with it. */
  waitForCatalog(
    what: string,
    wanted: (rows: readonly CatalogRow[]) => boolean,
    limitMs = 30_000,
  ): Promise<CatalogRow[]> {
    return waitFor(
      what,
      async () => {
        const rows = await this.catalog()
        return wanted(rows) ? rows : undefined
      },
      limitMs,
    )
  }

  async primaryOf(content: number): Promise<CatalogRow> {
    return pick(await this.catalog(), content, 'p')
  }
  async mirrorOf(content: number): Promise<CatalogRow> {
    return pick(await this.catalog(), content, 'm')
  }

  /** Brings everything that is down back and waits until every pair is up and in sync. */
  async heal(): Promise<void> {
    const results = await this.cluster.recover({ timeoutMs: 60_000 })
    const bad = results.filter(({ outcome }) => outcome !== 'done')
    if (bad.length > 0)
      throw new Error(`recover: ${bad.map(({ dbid, message }) => `dbid ${dbid}: ${message}`).join('; ')}`)
    await this.waitForCatalog('all pairs in sync', inSync)
  }

  /** The pids of all processes by dbid, as the agents see them; those that do not run are left out. */
  async pids(): Promise<Map<number, number>> {
    const all = await this.cluster.instances()
    return new Map(all.flatMap(({ dbid, pid }) => (pid === null ? [] : [[dbid, pid] as const])))
  }
  /** Every process of the cluster, agents too. */
  processes(): number[] {
    return processesBelow(this.dir)
  }
  /** SIGKILL to every process at once: agents, coordinator, standby, segments. Returns their pids. */
  killEverything(): number[] {
    this.#client?.end().catch(() => undefined) // its server is dead
    this.#client = undefined
    return killBelow(this.dir)
  }

  /** A connection to an agent or an instance: as the command line opens them, or as `as` says. The caller closes it. */
  async dial(endpoint: Endpoint, as: Partial<Hello> = {}, clusterKey?: Uint8Array): Promise<Connection> {
    const key = clusterKey ?? (await readFile(join(this.dir, 'cluster.key')))
    const network = realNetwork({ clusterKey: key, log: silentLogger })
    const { clusterId } = this.facts
    const self: Hello = {
      clusterId,
      kind: 'cli',
      dbid: 0,
      content: -1,
      name: 'test',
      purpose: 'control',
      epoch: 0,
    }
    const options = { timeoutMs: HELLO_MS, silenceTimeoutMs: 0 }
    return network.connect(endpoint, { ...self, ...as }, options)
  }
  /** Asks an agent or an instance, as the command line does. */
  async ask<K extends RequestType>(
    endpoint: Endpoint,
    message: MessageOf<K>,
    timeoutMs = 10_000,
  ): Promise<ReplyOf<K>> {
    const connection = await this.dial(endpoint)
    connection.setHandlers({ onMessage: () => undefined, onClose: () => undefined })
    try {
      return await connection.request(message, timeoutMs)
    } finally {
      connection.close()
    }
  }
  /** The agent of the host of an instance. */
  agentOf(dbid: number): Endpoint {
    const { hostname } = this.instance(dbid)
    const host = this.facts.hosts.find(({ name }) => name === hostname)
    if (host === undefined) throw new Error(`there is no host ${hostname}`)
    return { addresses: host.addresses, port: host.agentPort }
  }
  /** How an instance was last started: what a process started once more would get. */
  async lastAssignment(dbid: number): Promise<MessageOf<'agent.start'>['assignment']> {
    const text = await readFile(join(this.instance(dbid).datadir, 'start.json'), 'utf8')
    return JSON.parse(text) as MessageOf<'agent.start'>['assignment']
  }

  /** What an instance writes: its log, and what it says before it has one. */
  logsOf(dbid: number): string[] {
    const { datadir } = this.instance(dbid)
    return [join(datadir, 'log', 'mirabelle.log'), join(datadir, 'instance.log')]
  }
  logsOfAgents(): string[] {
    return this.facts.hosts.flatMap(({ dir }) => [join(dir, 'agent.log'), join(dir, 'agent.out')])
  }

  /** Ends everything and deletes the folder. */
  async close(): Promise<void> {
    this.#client?.end().catch(() => undefined) // it may be lost already
    await this.#reaper.cleanUp()
  }
}

async function readFacts(dir: string): Promise<ClusterFacts> {
  return JSON.parse(await readFile(join(dir, 'cluster.json'), 'utf8')) as ClusterFacts
}

function pick(rows: readonly CatalogRow[], content: number, role: 'p' | 'm'): CatalogRow {
  const found = rows.find((row) => row.content === content && row.role === role)
  if (found === undefined) throw new Error(`content ${content} has no row of role ${role}`)
  return found
}

/** Every pair up and in sync. */
export function inSync(rows: readonly CatalogRow[]): boolean {
  return rows.every((row) => row.status === 'u' && (row.content === -1 || row.mode === 's'))
}
