/**
 * One chaos run: a cluster of real processes, clients that record what they are told, faults drawn from a seed, healing, final reads, checkers, a report. Started by
 * `npm run chaos` or a test; everything that it started has ended when it resolves or rejects.
 */
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FaultPoints } from '../cluster/fault-points.ts'
import { TestCluster } from '../cluster/test-cluster.ts'
import { startOnHosts } from '../netns/host-cluster.ts'
import { DamagedBytes } from '../damage/damage-bytes.ts'
import type { HostNetwork } from '../netns/host-network.ts'
import type { HostServices } from '../netns/host-services.ts'
import { Power } from '../power/power.ts'
import { SimRandom } from '../sim/sim-random.ts'
import { checkHistory } from './check/check-history.ts'
import { internalErrors } from './check/internal-errors.ts'
import type { Anomaly, Verdict } from './check/anomaly.ts'
import { AppendWorkload } from './clients/append-workload.ts'
import { BankWorkload, initialBalances } from './clients/bank-workload.ts'
import { Clients } from './clients/clients.ts'
import { RegisterWorkload } from './clients/register-workload.ts'
import { RemadeWorkload } from './clients/remade-workload.ts'
import { SchemaWorkload } from './clients/schema-workload.ts'
import { SetWorkload } from './clients/set-workload.ts'
import type { Workload } from './clients/workload.ts'
import { ClusterView, type ViewMeans } from './faults/cluster-view.ts'
import { faultNames, loopbackFaultNames, type FaultName } from './faults/fault-catalog.ts'
import { runNemesis, type NemesisOptions } from './faults/nemesis.ts'
import { heal } from './faults/heal.ts'
import { endEverything } from './faults/power-faults.ts'
import { killPrimaries } from './faults/signals.ts'
import { elleEdn, elleJson } from './history/export-elle.ts'
import { porcupineLogs } from './history/export-porcupine.ts'
import { clusterYaml } from './hosts.ts'
import { History } from './history/history.ts'
import { workloadNames, type Op, type WorkloadName } from './history/op.ts'
import { renderReport } from './report/report.ts'
import { summarize, type RunSummary } from './report/summary.ts'
import { copiesInLogs, damageInLogs } from './watch/damage-in-logs.ts'
import { WalSampler, type WalSample } from './watch/wal-sampler.ts'

export interface ChaosOptions {
  readonly seed: number
  readonly minutes: number
  /** Where history, exports and report go; made when it is not there. */
  readonly outDir: string
  readonly faults?: readonly FaultName[]
  readonly workloads?: readonly WorkloadName[]
  readonly segments?: number
  /** The cluster's hosts are those of this network, which this process is in. Default: they are this machine. */
  readonly network?: HostNetwork
  readonly settings?: Readonly<Record<string, string>>
  /** Between an answer and the next operation of a client, ms. Default 20. */
  readonly restMs?: number
  readonly pace?: NemesisOptions['pace']
  /** At most so many rounds of faults, whatever the time is. */
  readonly rounds?: number
  /** How long a cluster may take to become well again, ms. Default 180 s. */
  readonly healMs?: number
  readonly tell?: (line: string) => void
  /** Ends the run early: it rejects, and everything is cleaned up. */
  readonly signal?: AbortSignal
}

export interface ChaosResult {
  readonly summary: RunSummary
  readonly anomalies: readonly Anomaly[]
  readonly reportPath: string
}

/** Somebody ended the run before its time. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

/**
 * What comes once in five minutes or a gigabyte comes several times in a run: checkpoints, new bases of mirrors and the end of the WAL before them, mirrors that were away for too
 * long to go on from their WAL.
 */
const SMALL_LIMITS = {
  checkpoint_timeout: '3s',
  mirror_base_refresh_size: '4MB',
  max_slot_wal_keep_size: '16MB',
} as const
const DEFAULT_PACE = { restMs: [1_000, 5_000], holdMs: [500, 8_000] } as const
const DEFAULT_HEAL_MS = 180_000
const DEFAULT_REST_MS = 20
/** What clients must be told on each content before the next faults come, and how long that may take. */
const PROGRESS_ACKS = 20
const PROGRESS_MS = 60_000

export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { outDir, segments = 2, tell = () => undefined } = options
  await mkdir(outDir, { recursive: true })
  tell(`making a cluster of ${segments} pairs`)
  const interrupted = whenAborted(options.signal)
  const means = meansOf(options.network)
  try {
    // What is half made when it is interrupted ends with this process: its reapers see to that.
    const { cluster, services, close } = await Promise.race([startCluster(options), interrupted])
    try {
      const recorded = await Promise.race([recordRun(cluster, { ...means, services }, options), interrupted])
      const verdicts = checkHistory(recorded.ops, { initial: initialBalances, allowNegative: false })
      const result = await writeResults(options, recorded, verdicts)
      await keepLogs(cluster, outDir)
      return result
    } finally {
      await close()
    }
  } finally {
    means.damage.close()
    means.power?.close()
  }
}

/** What faults are done with has to be there before the processes are. */
function meansOf(network: HostNetwork | undefined): Omit<ViewMeans, 'services'> {
  FaultPoints.allow()
  FaultPoints.atStart()
  const power = process.platform === 'linux' ? new Power() : undefined
  return { network, power, damage: new DamagedBytes() }
}

interface Started {
  readonly cluster: TestCluster
  readonly services?: HostServices
  readonly close: () => Promise<void>
}

async function startCluster(options: ChaosOptions): Promise<Started> {
  const { network, segments = 2 } = options
  const settings = { ...SMALL_LIMITS, ...options.settings }
  if (network !== undefined) return startOnHosts({ network, yaml: clusterYaml(segments, settings) })
  const cluster = await TestCluster.start({ segments, settings })
  return { cluster, close: () => cluster.close() }
}

/** What the nemesis ends with is an anomaly of this kind. */
const kinds: Readonly<Record<string, string>> = {
  NotHealed: 'not-healed',
  NotDurable: 'not-durable',
  NoFailover: 'no-failover',
  CopiedAnew: 'copied-anew',
  TwoProcesses: 'two-processes',
  TwoCoordinators: 'two-coordinators',
}

interface Recorded {
  readonly ops: readonly Op[]
  readonly wal: readonly WalSample[]
  /** What went wrong with the cluster as a whole: it could not be healed or read. */
  readonly failures: readonly Anomaly[]
  readonly faultsEndMs: number
}

async function recordRun(cluster: TestCluster, means: ViewMeans, options: ChaosOptions): Promise<Recorded> {
  const { outDir, tell = () => undefined } = options
  const random = new SimRandom(options.seed)
  const beganAt = performance.now()
  const now = (): number => performance.now() - beganAt
  const history = new History(now, join(outDir, 'history.jsonl'))
  const view = new ClusterView(cluster, means)
  await view.look()
  const workloads = makeWorkloads(options.workloads ?? workloadNames, view.contents)
  for (const sql of workloads.flatMap(({ tables }) => tables)) await cluster.query(sql)
  const sampler = new WalSampler(cluster, view, now)
  const clients = new Clients({
    history,
    workloads,
    addresses: () => view.addresses,
    restMs: options.restMs ?? DEFAULT_REST_MS,
    random: random.fork(),
  })
  // Interrupted: nobody waits for these any more, but they are not to go on for ever.
  const end = (): void => void Promise.all([clients.stop(), sampler.stop()]).catch(() => undefined)
  options.signal?.addEventListener('abort', end, { once: true })
  const failures: Anomaly[] = []
  const fail = (kind: string, error: unknown): void => {
    failures.push(failureOf(kind, error, now()))
    tell(`${kind}: ${(error as Error).message}`)
  }
  const nemesis: NemesisOptions = {
    view,
    history,
    random: random.fork(),
    faults: options.faults ?? (options.network === undefined ? loopbackFaultNames : faultNames),
    now,
    untilMs: options.minutes * 60_000,
    mostRounds: options.rounds ?? Infinity,
    progress: () => clients.progress(view.dataContents, PROGRESS_ACKS, PROGRESS_MS),
    healMs: options.healMs ?? DEFAULT_HEAL_MS,
    pace: options.pace ?? DEFAULT_PACE,
    stopped: () => options.signal?.aborted === true,
    tell,
  }
  await runNemesis(nemesis).catch((error: unknown) =>
    fail(kinds[(error as Error).name] ?? 'no-progress', error),
  )
  const faultsEndMs = now()
  await clients.stop()
  await sampler.stop()
  await clients.finalReads().catch((error: unknown) => fail('not-readable', error))
  if (failures.length === 0 && options.signal?.aborted !== true)
    await readFromOthers(nemesis, clients).catch((error: unknown) =>
      fail(kinds[(error as Error).name] ?? 'not-readable', error),
    )
  await history.close()
  failures.push(...(await damageInLogs(cluster.dir, now())))
  return { ops: history.ops, wal: sampler.samples, failures, faultsEndMs }
}

/** What was in sync when the power went could not go on from what it had made durable. */
class CopiedAnew extends Error {
  override readonly name = 'CopiedAnew'

  constructor(copies: readonly string[]) {
    super(
      `mirrors that were in sync needed copies of their primaries after a loss of power: ${copies.join('; ')}`,
    )
  }
}

/**
 * Everything is read twice more: when all processes have ended at once and have been started again, from what was durable; and when all primaries have ended, from what were
 * their mirrors, which have all that the primaries have shown.
 */
async function readFromOthers(nemesis: NemesisOptions, clients: Clients): Promise<void> {
  const { view, random, tell, healMs, stopped } = nemesis
  const before = new Set(await copiesInLogs(view.dir))
  for (const time of ['once', 'once more, right after its start']) {
    const ended = await endEverything(view, random)
    tell(`${ended}, ${time}; then ${await heal(view, healMs, stopped)}`)
  }
  const copies = (await copiesInLogs(view.dir)).filter((line) => !before.has(line))
  if (copies.length > 0) throw new CopiedAnew(copies)
  tell('everything is read once more')
  await clients.finalReads()
  const killed = killPrimaries(await view.look(), view.dataContents)
  tell(`SIGKILL to all primaries: ${killed.join(', ')}; everything is read once more`)
  await clients.finalReads()
}

function makeWorkloads(names: readonly WorkloadName[], contents: number): Workload[] {
  const makers: Record<WorkloadName, () => Workload> = {
    append: () => new AppendWorkload(contents),
    register: () => new RegisterWorkload(contents),
    bank: () => new BankWorkload(contents),
    set: () => new SetWorkload(contents),
    schema: () => new SchemaWorkload(contents),
    remade: () => new RemadeWorkload(contents),
  }
  return names.map((name) => makers[name]())
}

function failureOf(kind: string, error: unknown, atMs: number): Anomaly {
  const { message, cause } = error as Error
  const story = cause === undefined ? [] : [(cause as Error).message]
  return { workload: 'cluster', kind, summary: message, story, timesMs: [atMs] }
}

async function writeResults(
  options: ChaosOptions,
  { ops, wal, failures, faultsEndMs }: Recorded,
  verdicts: readonly Verdict[],
): Promise<ChaosResult> {
  const { outDir, seed, minutes } = options
  const anomalies = [...failures, ...internalErrors(ops), ...verdicts.flatMap((verdict) => verdict.anomalies)]
  const contents = options.segments ?? 2
  const summary = summarize({ seed, minutes, contents, ops, wal, verdicts, anomalies, faultsEndMs })
  const reportPath = join(outDir, 'report.html')
  await writeFile(reportPath, renderReport(summary, wal))
  await writeFile(join(outDir, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`)
  await writeFile(join(outDir, 'elle.edn'), elleEdn(ops))
  await writeFile(join(outDir, 'elle.json'), elleJson(ops))
  await mkdir(join(outDir, 'porcupine'), { recursive: true })
  for (const [key, text] of porcupineLogs(ops)) await writeFile(join(outDir, 'porcupine', `${key}.log`), text)
  return { summary, anomalies, reportPath }
}

/** The logs of all processes, beside the history: without them an anomaly is a riddle. */
async function keepLogs(cluster: TestCluster, outDir: string): Promise<void> {
  const wanted = /(^|\/)(log|mirabelle\.log|instance\.log|agent\.(log|out)|cluster\.json)$/
  const isFolder = (path: string): boolean => !/\.\w+$/.test(path)
  await cp(cluster.dir, join(outDir, 'logs'), {
    recursive: true,
    filter: (path) => !/\/(pgdata|wal|state)$/.test(path) && (isFolder(path) || wanted.test(path)),
  })
}

function whenAborted(signal: AbortSignal | undefined): Promise<never> {
  const promise = new Promise<never>((_, reject) => {
    const stop = (): void =>
      reject(new Interrupted('interrupted: the cluster is gone, the history is in the folder'))
    if (signal?.aborted === true) stop()
    signal?.addEventListener('abort', stop, { once: true })
  })
  promise.catch(() => undefined) // when the run has ended nobody waits for it any more
  return promise
}
