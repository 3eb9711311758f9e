/**
 * What is where in a cluster that faults are done to: asked of the cluster while it can answer, remembered when it cannot. Made by the run; asks anew before each fault, since roles
 * and pids change.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openCluster, type Cluster } from 'mirabelle'
import type { Assignment, Endpoint, ReplyOf } from '@mirabelle/messages'
import type { Told } from '../../power/told-durable.ts'
import { FaultPoints } from '../../cluster/fault-points.ts'
import type { TestCluster } from '../../cluster/test-cluster.ts'
import type { Power } from '../../power/power.ts'
import type { DamagedBytes } from '../../damage/damage-bytes.ts'
import type { HostNetwork } from '../../netns/host-network.ts'
import type { HostServices } from '../../netns/host-services.ts'

/** For one answer of an instance about itself. */
const TOLD_MS = 500

/** An instance as last seen. */
export interface Seen {
  readonly dbid: number
  readonly content: number
  readonly role: 'p' | 'm'
  readonly preferredRole: 'p' | 'm'
  readonly status: 'u' | 'd'
  readonly host: string
  readonly endpoint: Endpoint
  /** Null when it does not run, as far as anybody knows. */
  readonly pid: number | null
}

interface FileRow {
  readonly dbid: number
  readonly content: number
  readonly role: 'p' | 'm'
  readonly preferredRole: 'p' | 'm'
  readonly hostname: string
  readonly address: string
  readonly port: number
  readonly endpoint: Endpoint
}

interface ClusterJson {
  readonly rows: readonly FileRow[]
  readonly coordinatorDbid: number
  readonly standbyDbid: number | null
  readonly hosts: readonly { readonly name: string; readonly agentPort: number }[]
}

interface Known {
  readonly role: 'p' | 'm'
  readonly status: 'u' | 'd'
}

/** What faults are done with, beside signals and commands. */
export interface ViewMeans {
  readonly network: HostNetwork | undefined
  /** Linux only. */
  readonly power: Power | undefined
  /** What starts the agents of hosts that are network namespaces. */
  readonly services: HostServices | undefined
  readonly damage: DamagedBytes
}

export class ClusterView {
  /** Between the hosts, where those are network namespaces. */
  readonly network: HostNetwork | undefined
  readonly power: Power | undefined
  readonly services: HostServices | undefined
  readonly damage: DamagedBytes
  /** Of its processes, which were started with them. */
  readonly points: FaultPoints
  readonly #cluster: TestCluster
  readonly #known = new Map<number, Known>()
  readonly #pids = new Map<number, number>()
  #seen: readonly Seen[] = []
  #addresses: readonly { readonly host: string; readonly port: number }[]

  constructor(cluster: TestCluster, { network, power, services, damage }: ViewMeans) {
    this.#cluster = cluster
    this.network = network
    this.power = power
    this.services = services
    this.damage = damage
    this.points = new FaultPoints(cluster)
    this.#addresses = cluster.addresses
  }

  get dir(): string {
    return this.#cluster.dir
  }
  /** Names of all hosts. */
  get hosts(): string[] {
    return this.#cluster.facts.hosts.map(({ name }) => name)
  }
  /** True when all that is on the host is elsewhere, too, and the coordinator is not there. */
  isSpare(host: string): boolean {
    const there = this.#seen.filter((one) => one.host === host)
    const contents = new Set(there.map(({ content }) => content))
    return (
      contents.size === there.length && !there.some(({ content, role }) => content === -1 && role === 'p')
    )
  }
  /** The folder of a host. */
  dirOf(host: string): string {
    const found = this.#cluster.facts.hosts.find(({ name }) => name === host)
    if (found === undefined) throw new Error(`there is no host ${host}`)
    return found.dir
  }
  get contents(): number {
    return this.#cluster.contents
  }
  /** The contents that hold rows. */
  get dataContents(): number[] {
    return Array.from({ length: this.contents }, (_, content) => content)
  }
  /** Those, and the coordinator's. */
  get allContents(): number[] {
    return [-1, ...this.dataContents]
  }
  /** Both instances of content -1: whichever acts lets clients in. */
  get addresses(): readonly { readonly host: string; readonly port: number }[] {
    return this.#addresses
  }
  /** As of the last look. */
  get seen(): readonly Seen[] {
    return this.#seen
  }
  /** A hand of an administrator: opened anew, as each command does, so that two at once do not share what they know. */
  administrator(): Promise<Cluster> {
    return openCluster(this.dir)
  }

  /** Looks at everything now. Never rejects: what does not answer stays as it was. */
  async look(): Promise<readonly Seen[]> {
    const file = JSON.parse(await readFile(join(this.dir, 'cluster.json'), 'utf8')) as ClusterJson
    const cluster = await this.administrator()
    await Promise.all([this.#askCoordinator(cluster), this.#askAgents(cluster)])
    // An activated coordinator has no standby; the one before it is in the file until there is a new one.
    const isOut = (row: FileRow) =>
      row.content === -1 && row.dbid !== file.coordinatorDbid && row.dbid !== file.standbyDbid
    this.#addresses = file.rows
      .filter(({ content }) => content === -1)
      .map(({ address, port }) => ({ host: address, port }))
    this.#seen = file.rows
      .filter((row) => !isOut(row))
      .map((row) => {
        const { dbid, content, endpoint, preferredRole, hostname: host } = row
        const known = this.#known.get(dbid)
        const role = content === -1 ? (dbid === file.coordinatorDbid ? 'p' : 'm') : (known?.role ?? row.role)
        const pid = this.#pids.get(dbid) ?? null
        return { dbid, content, role, preferredRole, status: known?.status ?? 'u', host, endpoint, pid }
      })
    return this.#seen
  }

  /** Whether this process of the cluster is there. */
  lives(pid: number): boolean {
    return this.#cluster.processes().includes(pid)
  }

  /** Pids of the agents that answer. */
  async agents(): Promise<{ readonly host: string; readonly pid: number }[]> {
    const answers = await Promise.all(
      this.#cluster.facts.hosts.map(async ({ name, addresses, agentPort }) => {
        try {
          const endpoint = { addresses, port: agentPort }
          const { pid } = await this.#cluster.ask(endpoint, { type: 'agent.status' }, 2_000)
          return [{ host: name, pid }]
        } catch {
          return [] // killed: there is nothing to do to it
        }
      }),
    )
    return answers.flat()
  }

  /** What an instance says of itself; undefined when it does not answer. */
  async statusOf({ dbid, endpoint }: Seen): Promise<ReplyOf<'instance.status'> | undefined> {
    try {
      const status = await this.#cluster.ask(endpoint, { type: 'instance.status' }, TOLD_MS)
      // Another instance may have taken over its port.
      return status.dbid === dbid ? status : undefined
    } catch {
      return undefined // stopped, or it has just died
    }
  }

  /** How far an instance says that its WAL is durable; undefined when it does not answer. */
  async toldDurable(one: Seen): Promise<Told | undefined> {
    const status = await this.statusOf(one)
    if (status?.roleState !== 'primary' && status?.roleState !== 'mirror') return undefined
    const { dbid, roleState, timeline, flushLsn } = status
    await this.#cluster.lookAgain()
    const { datadir } = this.#cluster.instance(dbid)
    return { dbid, role: roleState === 'primary' ? 'p' : 'm', datadir, timeline, flushLsn }
  }

  /** How an instance was last started. */
  async lastAssignment(dbid: number): Promise<Assignment> {
    await this.#cluster.lookAgain()
    return this.#cluster.lastAssignment(dbid)
  }

  async #askCoordinator(cluster: Cluster): Promise<void> {
    try {
      const { instances } = await cluster.state()
      for (const { dbid, role, status } of instances) this.#known.set(dbid, { role, status })
    } catch {
      // No coordinator answers: roles are as they were.
    }
  }

  async #askAgents(cluster: Cluster): Promise<void> {
    const alive = new Set(this.#cluster.processes())
    for (const { dbid, pid } of await cluster.instances()) if (pid !== null) this.#pids.set(dbid, pid)
    for (const [dbid, pid] of this.#pids) if (!alive.has(pid)) this.#pids.delete(dbid)
  }
}
