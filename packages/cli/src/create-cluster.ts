/**
 * Clusters from a program: `createCluster()` makes (or opens) one on this machine and starts it. What it does are the same steps as
 * the commands'. Made for tests, examples and the demo; nothing of it ends by itself when the program does, so `stop` or `destroy` it.
 */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { ActionResult, ClusterState } from '@mirabelle/messages'
import { activateStandby, type ActivationReport } from './cluster/activate-standby.ts'
import { agentAnswers } from './cluster/agents.ts'
import { withFolder, type Cluster as Operated } from './cluster/cluster.ts'
import { connectionString, multiHostConnectionString } from './cluster/connect.ts'
import { findCoordinator } from './cluster/coordinators.ts'
import { drainHost, startHost, stopHost } from './cluster/host-admin.ts'
import {
  DEFAULT_PARALLEL,
  DEFAULT_STALL_MS,
  removeMirrors,
  type MirrorLimits,
} from './cluster/mirror-admin.ts'
import {
  initStandby,
  removeStandby,
  resyncStandby,
  type ResyncMode,
  type StandbyPlace,
} from './cluster/standby-admin.ts'
import { startCluster, type StartOptions, type StartReport } from './cluster/start-cluster.ts'
import { startOne } from './cluster/start-instance.ts'
import { headlessState, stateFromCoordinator, type HeadlessState } from './cluster/state-of.ts'
import { stopCluster, type StopMode } from './cluster/stop-cluster.ts'
import { destroyCluster } from './commands/destroy.ts'
import { init } from './commands/init.ts'
import { DEFAULT_LANE_MS, DEFAULT_REBALANCE_MS, rebalance } from './commands/rebalance.ts'
import { carryOut, planAddition, planMove } from './commands/mirrors.ts'
import { recover, type RecoverMode } from './commands/recover.ts'
import { DEFAULT_START_MS, DEFAULT_SYNC_MS } from './commands/start.ts'
import { DEFAULT_STOP_MS } from './commands/stop.ts'
import { CliError } from './errors.ts'
import { ClusterFolder } from './folder/cluster-folder.ts'
import type { Mirroring } from './placement/placement.ts'
import { silentReporter, type Reporter } from './terminal/reporter.ts'

export interface CreateClusterOptions {
  /** Default: a new folder below the system's temporary one. */
  readonly dir?: string
  /** Simulated hosts. Default 3. */
  readonly hosts?: number
  /** Primaries in all. Default 2. */
  readonly segments?: number
  /** Default `group`. */
  readonly mirroring?: Mirroring
  /** A standby coordinator. Default true. */
  readonly standby?: boolean
  /** The coordinator's port for clients. Default 0: any free one. */
  readonly port?: number
  readonly settings?: Readonly<Record<string, string>>
  /** Start it, too. Default true. */
  readonly start?: boolean
  /** Told of progress. Default: nobody. */
  readonly reporter?: Reporter
}

/** Of work that copies. */
interface Limits {
  /** Segments at a time. Default 16. */
  readonly parallel?: number
  /** Bytes a second of each copy. Default: no limit. */
  readonly maxRate?: number | null
  /** Given up when nothing has changed for so long, ms. */
  readonly timeoutMs?: number
}

function limitsFrom({ parallel, maxRate, timeoutMs }: Limits): MirrorLimits {
  return {
    parallel: parallel ?? DEFAULT_PARALLEL,
    maxRate: maxRate ?? null,
    stallMs: timeoutMs ?? DEFAULT_STALL_MS,
  }
}

/** Where a process of the cluster is. `pid` is null while it does not run. */
export interface RunningInstance {
  readonly dbid: number
  readonly content: number
  readonly host: string
  readonly port: number
  readonly pid: number | null
}

export class Cluster {
  readonly #operated: Operated

  /** Used by createCluster and openCluster. */
  constructor(operated: Operated) {
    this.#operated = operated
  }

  get dir(): string {
    return this.#operated.folder.dir
  }
  /** The acting coordinator, for node-postgres and others; changes with an activation. */
  get connectionString(): string {
    return connectionString(this.#operated.folder)
  }
  /** Coordinator and standby, for libpq. */
  get multiHostConnectionString(): string {
    return multiHostConnectionString(this.#operated.folder)
  }
  /** The acting coordinator. */
  get coordinator(): { readonly dbid: number; readonly host: string; readonly port: number } {
    const { folder } = this.#operated
    const { dbid, address, port } = folder.row(folder.file.coordinatorDbid)
    return { dbid, host: address, port }
  }
  /** The standby coordinator; null when there is none. */
  get standby(): { readonly dbid: number; readonly host: string; readonly port: number } | null {
    const { folder } = this.#operated
    if (folder.file.standbyDbid === null) return null
    const { dbid, address, port } = folder.row(folder.file.standbyDbid)
    return { dbid, host: address, port }
  }

  /** The state as the coordinator tells it. Rejects with CliError when none answers; `headless` works then. */
  async state(): Promise<ClusterState> {
    const state = await stateFromCoordinator(this.#operated)
    if (state === undefined) throw new CliError('no coordinator answers')
    return state
  }
  /** What agents and instances say of themselves, without a coordinator. */
  headless(): Promise<HeadlessState> {
    return headlessState(this.#operated)
  }

  /** Starts what does not run. `acceptDataLoss`: contents that a copy may serve which lacks transactions; see `mirabelle start --help`. */
  start(options: Partial<StartOptions> = {}): Promise<StartReport> {
    const { timeoutMs = DEFAULT_START_MS, syncTimeoutMs = DEFAULT_SYNC_MS, acceptDataLoss } = options
    return startCluster(this.#operated, { timeoutMs, syncTimeoutMs, acceptDataLoss })
  }
  /** Starts one instance through its agent. Rejects with what it said when it ended. */
  async startInstance(dbid: number, timeoutMs = DEFAULT_START_MS): Promise<void> {
    const failure = await startOne(this.#operated, dbid, timeoutMs)
    if (failure !== undefined) throw new CliError(failure)
  }
  /** Stops everything, agents too. Rejects when something could not be stopped. */
  async stop(mode: StopMode = 'fast'): Promise<void> {
    const { failures } = await stopCluster(this.#operated, mode, DEFAULT_STOP_MS)
    if (failures.length > 0) throw new CliError(failures.join('\n'), { exitStatus: 1 })
  }
  /** Brings down segments back: in place, on another host, or as a file in Greenplum's form says. */
  recover(
    options: {
      readonly mode?: RecoverMode
      readonly dbids?: readonly number[]
      readonly to?: string
      readonly input?: string
      readonly acceptDataLoss?: readonly number[]
    } & Limits = {},
  ): Promise<readonly ActionResult[]> {
    const { mode = 'auto', dbids = null, to, input } = options
    const file = input === undefined ? undefined : { path: 'input', text: input }
    const { acceptDataLoss } = options
    return recover(this.#operated, { mode, only: dbids, to, file, acceptDataLoss }, limitsFrom(options))
  }
  /** Gives a cluster that has none mirrors. */
  async addMirrors(
    options: { readonly mirroring?: 'group' | 'spread'; readonly input?: string } & Limits = {},
  ): Promise<readonly ActionResult[]> {
    const { mirroring = 'group', input } = options
    const file = input === undefined ? undefined : { path: 'input', text: input }
    const planned = await planAddition(this.#operated, { mirroring, file })
    return carryOut(this.#operated, planned, limitsFrom(options))
  }
  /** Moves mirrors as the text of an input file says. */
  async moveMirrors(input: string, limits: Limits = {}): Promise<readonly ActionResult[]> {
    const planned = await planMove(this.#operated, { path: 'input', text: input })
    return carryOut(this.#operated, planned, limitsFrom(limits))
  }
  /** Does away with all mirrors. */
  removeMirrors(): Promise<readonly ActionResult[]> {
    return removeMirrors(this.#operated)
  }
  /** Lets other hosts act as primary for the segments of a host. */
  drainHost(
    host: string,
    options: { readonly laneTimeoutMs?: number; readonly timeoutMs?: number } = {},
  ): Promise<readonly ActionResult[]> {
    const { laneTimeoutMs = DEFAULT_LANE_MS, timeoutMs = DEFAULT_REBALANCE_MS } = options
    return drainHost(this.#operated, host, { laneTimeoutMs, timeoutMs })
  }
  /** Stops the instances of a host. Rejects when a content would be left without a copy in sync. */
  stopHost(host: string, mode: StopMode = 'fast'): Promise<readonly ActionResult[]> {
    return stopHost(this.#operated, host, { mode, drain: null })
  }
  /** Starts the instances of a host and brings back what was down. */
  startHost(host: string, timeoutMs = DEFAULT_REBALANCE_MS): Promise<readonly ActionResult[]> {
    return startHost(this.#operated, host, timeoutMs)
  }
  /** Gives pairs their preferred roles back. A row per pair that was not in them. */
  rebalance(
    options: { readonly laneTimeoutMs?: number; readonly timeoutMs?: number } = {},
  ): Promise<readonly ActionResult[]> {
    const { laneTimeoutMs = DEFAULT_LANE_MS, timeoutMs = DEFAULT_REBALANCE_MS } = options
    return rebalance(this.#operated, { laneTimeoutMs, timeoutMs })
  }
  activateStandby(options: { readonly force?: boolean } = {}): Promise<ActivationReport> {
    return activateStandby(this.#operated, options.force === true)
  }
  /** Makes a standby coordinator, or completes what an interrupted call began. */
  initStandby(options: Partial<StandbyPlace> = {}): Promise<readonly ActionResult[]> {
    return initStandby(this.#operated, { host: null, port: null, datadir: null, ...options })
  }
  /** Does away with the standby coordinator and its folder. */
  removeStandby(): Promise<readonly ActionResult[]> {
    return removeStandby(this.#operated)
  }
  /** Brings the standby coordinator back while the coordinator serves. */
  resyncStandby(options: { readonly mode?: ResyncMode } = {}): Promise<readonly ActionResult[]> {
    return resyncStandby(this.#operated, options.mode ?? 'auto')
  }
  /** An FTS cycle now. */
  async probe(): Promise<void> {
    const acting = await findCoordinator(this.#operated)
    if (acting === undefined) throw new CliError('no coordinator answers')
    await this.#operated.control.ask(acting.row.endpoint, { type: 'cluster.probe' }, 60_000)
  }

  /** Every instance and its process, as the agents see them. */
  async instances(): Promise<RunningInstance[]> {
    const answers = await agentAnswers(this.#operated)
    const seen = answers.flatMap(({ status }) => status?.instances ?? [])
    return this.#operated.folder.file.rows.map((row) => ({
      dbid: row.dbid,
      content: row.content,
      host: row.hostname,
      port: row.port,
      pid: seen.find(({ dbid }) => dbid === row.dbid)?.pid ?? null,
    }))
  }
  /** Sends a signal to the process of an instance; resolves with its pid. Rejects when it does not run. */
  async kill(dbid: number, signal: NodeJS.Signals = 'SIGKILL'): Promise<number> {
    const instance = (await this.instances()).find((one) => one.dbid === dbid)
    if (instance?.pid === null || instance === undefined) throw new CliError(`dbid ${dbid} does not run`)
    process.kill(instance.pid, signal)
    return instance.pid
  }

  /** Ends everything at once and deletes all of it. */
  destroy(): Promise<void> {
    return destroyCluster(this.#operated)
  }
}

/** Makes a cluster on this machine (or opens the one in `dir`) and starts it. */
export async function createCluster(options: CreateClusterOptions = {}): Promise<Cluster> {
  const reporter = options.reporter ?? silentReporter
  const dir = options.dir === undefined ? await mkdtemp(join(tmpdir(), 'mirabelle-')) : resolve(options.dir)
  let folder = await ClusterFolder.find(dir)
  if (folder?.file.progress !== 'ready') {
    const { hosts = 3, segments = 2, mirroring = 'group', standby = true, port = 0, settings = {} } = options
    const wanted = { hosts, segments, mirroring, standby, port, set: { ...settings } }
    folder = await init(dir, wanted, reporter, { thenStarts: options.start !== false })
  }
  const cluster = new Cluster(await withFolder(folder, reporter))
  if (options.start !== false) await cluster.start()
  return cluster
}

/** Opens the cluster in a folder without starting anything. Rejects with CliError when there is none. */
export async function openCluster(dir: string, reporter: Reporter = silentReporter): Promise<Cluster> {
  return new Cluster(await withFolder(await ClusterFolder.openReady(resolve(dir)), reporter))
}
