/**
 * A whole cluster in one process: hosts, the real agents, the real instances over stand-in engines, the real coordinator service.
 *
 * Made for one seed by a simulation; ends with its world. `boot` starts the agents and the coordinator, which starts the rest.
 */
import { Agent, configFile, type AgentConfig, type Processes } from '@mirabelle/agent'
import type { CatalogStore, ClusterSnapshot, Topology } from '@mirabelle/coordinator/ha'
import type { EngineCompletion } from '@mirabelle/engine'
import {
  realWalParts,
  type BuildBase,
  type CopyFromPeer,
  type InstanceActor,
  type RoleChange,
  type WalParts,
} from '@mirabelle/instance'
import {
  TOPOLOGY_SETTING,
  type Assignment,
  type Content,
  type Dbid,
  type Message,
  type SegmentRow,
} from '@mirabelle/messages'
import type { Ports } from '@mirabelle/runtime'
import { createSegment, type Segment } from '@mirabelle/segment'
import { createWalFiles, createWalReceiver, createWalSenderHub } from '@mirabelle/wal'
import type { Ask } from './command-line.ts'
import { simBuildBase } from './sim-base.ts'
import { simCopyFromPeer } from './sim-copy.ts'
import { SimCoordinator } from './sim-coordinator.ts'
import { SimEngine } from './sim-engine.ts'
import { SimFabric } from './sim-network.ts'
import { SimHost } from './sim-host.ts'
import type { SimProcess } from './sim-process.ts'
import { simProcesses } from './sim-processes.ts'
import { SIM_SEGMENT_BYTES } from './sim-wal-paths.ts'
import type { SimWorld } from './sim-world.ts'
import { AGENT_PORT, CLUSTER_ID, initialCatalog, layOut, type SimLayout } from './sim-layout.ts'

/** An instance that runs. */
export interface RunningInstance {
  readonly process: SimProcess
  readonly assignment: Assignment
  readonly engine: SimEngine
  readonly instance: InstanceActor
  readonly segment: Segment | undefined
  readonly coordinator: SimCoordinator | undefined
}

/** An instance and its folder. */
export type InstancePlace = Pick<SegmentRow, 'dbid' | 'content' | 'hostname' | 'datadir'>

/** Where a mutant can be planted: the real thing in, something that breaks a promise out. */
export interface SimOverrides {
  readonly ports?: (ports: Ports, assignment: Assignment) => Ports
  readonly wal?: (wal: WalParts, assignment: Assignment) => WalParts
  readonly engine?: (engine: SimEngine, assignment: Assignment) => SimEngine
  readonly store?: (store: CatalogStore) => CatalogStore
  /** Of the agents. */
  readonly processes?: (processes: Processes) => Processes
  readonly buildBase?: (build: BuildBase) => BuildBase
  readonly onRunning?: (running: RunningInstance) => void
}

export class SimCluster {
  readonly world: SimWorld
  readonly fabric: SimFabric
  readonly layout: SimLayout
  readonly hosts = new Map<string, SimHost>()
  /** Where each instance is, or was: those that the cluster was laid out with, and each that was made since. */
  readonly places = new Map<Dbid, InstancePlace>()
  readonly running = new Map<Dbid, RunningInstance>()
  /** Sees each instance that an agent makes a process for. */
  onSpawned: ((agent: SimProcess, assignment: Assignment) => void) | undefined
  /** Sees each standby that becomes the coordinator. */
  onTakenOver: ((coordinator: SimCoordinator) => void) | undefined
  /** Sees each segment whose role has changed. */
  onRole: ((running: RunningInstance, change: RoleChange) => void) | undefined
  /** Hears of transactions whose end is to be forgotten by an instance: they were committed. */
  onForgets: ((gid: string, dbid: Dbid) => void) | undefined
  /** Sees what the PostgreSQL of a segment says of requests that are complete. */
  onCompleted:
    ((process: SimProcess, content: Content, completed: readonly EngineCompletion[]) => void) | undefined
  /** A statement has failed because a disk was full. */
  lackedRoom = false
  /** Death certificates are late by so much. */
  certificateDelayMs = 0
  readonly #agents = new Map<string, SimProcess>()
  readonly #overrides: SimOverrides

  constructor(world: SimWorld, layout: SimLayout, overrides: SimOverrides = {}) {
    this.world = world
    this.layout = layout
    this.#overrides = overrides
    this.fabric = new SimFabric(world)
    for (const name of layout.hosts) this.hosts.set(name, new SimHost(this.fabric, name))
    const catalog = initialCatalog(layout)
    for (const row of catalog.rows) {
      this.places.set(row.dbid, row)
      layOut(this.host(row.hostname), row, catalog)
    }
    for (const name of layout.hosts) this.#configureAgent(name)
  }

  host(name: string): SimHost {
    const host = this.hosts.get(name)
    if (host === undefined) throw new RangeError(`there is no host ${name}`)
    return host
  }

  /** Starts the agents, and through one of them the coordinator, which starts the rest. */
  async boot(): Promise<void> {
    for (const name of this.hosts.keys()) this.startAgent(name)
    const catalog = initialCatalog(this.layout)
    const row = catalog.rows.find((one) => one.content === -1 && one.role === 'p') as SegmentRow
    this.world.schedule(20, undefined, () => this.startCoordinator(row, 'p', catalog))
    await this.world.run(
      () => this.coordinator()?.open === true && this.allOpen(),
      this.world.nowMs + 60_000,
      100_000,
    )
  }

  /** The instance that runs in a process. */
  instanceIn(process: SimProcess | undefined): RunningInstance | undefined {
    for (const running of this.running.values()) if (running.process === process) return running
    return undefined
  }

  /** The acting coordinator that lets clients in; undefined when there is none. */
  coordinator(): SimCoordinator | undefined {
    let found: SimCoordinator | undefined
    for (const { coordinator, process } of this.running.values()) {
      if (coordinator?.open !== true || !process.alive) continue
      const epoch = coordinator.service?.topology.epoch ?? 0
      if (found === undefined || epoch > (found.service?.topology.epoch ?? 0)) found = coordinator
    }
    return found
  }

  /** The catalog of the coordinator of the highest epoch, whether or not it lets clients in yet. */
  newestTopology(): Topology | undefined {
    let newest: Topology | undefined
    for (const { coordinator } of this.running.values()) {
      const topology = coordinator?.service?.topology
      if (topology !== undefined && topology.epoch > (newest?.epoch ?? -1)) newest = topology
    }
    return newest
  }

  allOpen(): boolean {
    const dispatcher = this.coordinator()?.service?.dispatcher
    return dispatcher !== undefined && [...dispatcher.lanes.values()].every((lane) => lane.isOpen)
  }

  agentOf(host: string): SimProcess | undefined {
    const agent = this.#agents.get(host)
    return agent?.alive === true ? agent : undefined
  }

  /** Starts the agent of a host, unless it runs. */
  startAgent(name: string): void {
    const host = this.host(name)
    if (!host.up || this.agentOf(name) !== undefined) return
    const process = host.spawn(`agent-${name}`)
    this.#agents.set(name, process)
    const ports = host.portsOf(process)
    const processes = simProcesses(
      process,
      (child, assignment) => this.#hostInstance(child, assignment),
      () => this.certificateDelayMs,
      (assignment) => this.onSpawned?.(process, assignment),
    )
    const agent = new Agent({
      ports,
      processes: this.#overrides.processes?.(processes) ?? processes,
      config: agentConfig(name),
      dir: AGENT_DIR,
      instanceScript: 'instance-main.js',
      onEnd: () => process.exit({ code: 0, signal: null }),
    })
    process.schedule(0, () => {
      agent.start().catch((error: unknown) => {
        this.world.trace.add(process.name, `cannot start: ${String(error)}`)
        process.exit({ code: 1, signal: null })
      })
    })
  }

  /** As `mirabelle start` does it: the agent of its host starts the coordinator's process. */
  startCoordinator(row: SegmentRow, role: 'p' | 'm', catalog: ClusterSnapshot): void {
    const agent = this.agentOf(row.hostname)
    if (agent === undefined) return
    const peer = catalog.rows.find((one) => one.content === -1 && one.dbid !== row.dbid)
    const assignment: Assignment = {
      dbid: row.dbid,
      content: -1,
      role,
      epoch: catalog.epoch,
      hostname: row.hostname,
      datadir: row.datadir,
      listen: row.endpoint,
      sqlPort: row.port,
      peer: peer === undefined ? null : { dbid: peer.dbid, endpoint: peer.endpoint },
      syncRep: null,
      recovery: 'auto',
      copyMaxRate: null,
      settings:
        role === 'p'
          ? catalog.settings
          : { ...catalog.settings, [TOPOLOGY_SETTING]: JSON.stringify(catalog.rows) },
    }
    this.tell(agent.host, AGENT_PORT, { type: 'agent.start', assignment })
  }

  /** Sends one message from outside (the command line, on that host) and forgets it; the answer goes into the trace. */
  tell(host: SimHost, port: number, message: Message, onRefused?: (error: unknown) => void): void {
    this.command(host, port, message.type, async (ask) => void (await ask(message as never)), onRefused)
  }

  /** Runs a command of the command line on that host, which asks one thing after the other; how it ends goes into the trace. */
  command(
    host: SimHost,
    port: number,
    name: string,
    run: (ask: Ask) => Promise<void>,
    onRefused?: (error: unknown) => void,
  ): void {
    const process = host.spawn('cli')
    const { network } = host.portsOf(process)
    const connect = async (): Promise<void> => {
      const connection = await network.connect(
        { addresses: [host.name], port },
        {
          clusterId: CLUSTER_ID,
          kind: 'cli',
          dbid: 0,
          content: -1,
          name: 'cli',
          purpose: 'control',
          epoch: 0,
        },
        { timeoutMs: 2_000, silenceTimeoutMs: 0 },
      )
      connection.setHandlers({ onMessage() {}, onClose() {} })
      await run((message) => connection.request(message, 60_000))
    }
    process.schedule(0, () => {
      connect()
        .then(
          () => this.world.trace.add('cli', `${name}: done`),
          (error: unknown) => {
            this.world.trace.add('cli', `${name}: ${String(error)}`)
            onRefused?.(error)
          },
        )
        .finally(() => process.exit({ code: 0, signal: null }))
    })
  }

  #configureAgent(name: string): void {
    const text = JSON.stringify(agentConfig(name))
    this.host(name).files.place(configFile(AGENT_DIR), new TextEncoder().encode(text))
  }

  /** The program of an instance process. */
  #hostInstance(process: SimProcess, assignment: Assignment): void {
    const { host, world } = process
    const ports = this.#overrides.ports?.(host.portsOf(process), assignment) ?? host.portsOf(process)
    const made = new SimEngine(process, assignment.datadir)
    made.witness = {
      completed: (completed) => this.onCompleted?.(process, assignment.content, completed),
      forgets: (gid) => this.onForgets?.(gid, assignment.dbid),
      lackedRoom: () => (this.lackedRoom = true),
    }
    const engine = this.#overrides.engine?.(made, assignment) ?? made
    const parts = hasShortRings(this.world.seed) ? shortRings : simWalParts
    const wal = this.#overrides.wal?.(parts, assignment) ?? parts
    const build = simBuildBase(process, this.running)
    const common = {
      ports,
      clusterId: CLUSTER_ID,
      assignment,
      engine,
      wal,
      copyFromPeer: simCopyFromPeer(process, this.running) as CopyFromPeer,
      buildBase: this.#overrides.buildBase?.(build) ?? build,
      processInfo: () => ({ pid: process.pid, rssBytes: 0, version: 'sim' }),
      onEnd: (error: Error | undefined) => process.exit({ code: error === undefined ? 0 : 1, signal: null }),
    }
    let startable: { start(): Promise<void> }
    let running: RunningInstance
    if (assignment.content === -1) {
      const coordinator = new SimCoordinator({
        ...common,
        process,
        onTakenOver: (one) => this.onTakenOver?.(one),
        wrapStore: this.#overrides.store ?? ((store) => store),
      })
      startable = coordinator
      running = {
        process,
        assignment,
        engine,
        instance: coordinator.instance,
        segment: undefined,
        coordinator,
      }
    } else {
      const onRole = (change: RoleChange): void => this.onRole?.(running, change)
      const segment = createSegment({ ...common, maintenance: false, onRole })
      startable = segment
      running = { process, assignment, engine, instance: segment.instance, segment, coordinator: undefined }
    }
    this.places.set(assignment.dbid, assignment)
    this.running.set(assignment.dbid, running)
    this.#overrides.onRunning?.(running)
    process.onExit(() => {
      if (this.running.get(assignment.dbid) === running) this.running.delete(assignment.dbid)
    })
    startable.start().catch((error: unknown) => {
      world.trace.add(process.name, `could not start: ${String(error)}`)
    })
  }
}

const AGENT_DIR = '/agent'
/** In one cluster of so many primaries forget soon which statements took effect. */
const SHORT_RINGS = 4

/** The primaries of this cluster forget soon which statements took effect. */
export function hasShortRings(seed: number): boolean {
  return seed % SHORT_RINGS === 0
}

function agentConfig(name: string): AgentConfig {
  return {
    formatVersion: 1,
    clusterId: CLUSTER_ID,
    hostname: name,
    listen: { addresses: [name], port: AGENT_PORT },
    keyFile: '/agent/cluster.key',
    templateDir: '/agent/templates',
    logLevel: 'info',
    encryption: 'auto',
  }
}

/** The wal package itself, with the small segments of the simulation. */
const simWalParts: WalParts = {
  segmentSize: SIM_SEGMENT_BYTES,
  createHub: (options) => createWalSenderHub({ ...options, segmentSize: SIM_SEGMENT_BYTES }),
  createReceiver: (options) => createWalReceiver({ ...options, segmentSize: SIM_SEGMENT_BYTES }),
  createReader: (ports, folders) =>
    createWalFiles({ disk: ports.disk, folders, segmentSize: SIM_SEGMENT_BYTES }),
  findEnd: realWalParts.findEnd,
  history: realWalParts.history,
}

const shortRings: WalParts = {
  ...simWalParts,
  createHub: (options) => simWalParts.createHub({ ...options, settledLimit: { entries: 2, bytes: 4096 } }),
}
