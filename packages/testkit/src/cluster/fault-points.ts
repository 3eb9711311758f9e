/**
 * The fault points of the processes of a test cluster (docs/fault-points.md): set, waited for, resumed, over the connections that the command line uses.
 * Call `FaultPoints.allow()` before the cluster is started: agents and instances inherit it.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Endpoint, FaultAction, FaultPoint, FaultRow } from '@mirabelle/messages'
import { FAULTS_VARIABLE } from '@mirabelle/runtime'
import type { TestCluster } from './test-cluster.ts'
import { waitFor } from './wait-for.ts'

/** An instance by its dbid, or the agent of a host. */
export type FaultTarget = number | { readonly agent: string }

export interface FaultOptions {
  /** From this occurrence on; 1 without it. */
  readonly start?: number
  /** Up to this one; as `start` without it, -1 = always. */
  readonly end?: number
  readonly sleepMs?: number
  readonly content?: number
}

/** What a mirror passes that becomes the primary, in this order. */
export const PROMOTION_POINTS = [
  'promotion.begin',
  'promotion.sync-rep-off',
  'promotion.recovered',
  'promotion.role',
  'promotion.assigned',
  'promotion.open',
] as const satisfies readonly FaultPoint[]

const WAIT_MS = 30_000
/** What processes read when they start. */
let file = ''

export class FaultPoints {
  readonly #cluster: TestCluster

  constructor(cluster: TestCluster) {
    this.#cluster = cluster
  }

  /** Processes that are started from now on have fault points, and those of the file from their start on. Call it before the cluster is started. */
  static allow(): void {
    file = join(mkdtempSync(join(tmpdir(), 'mirabelle-faults-')), 'faults')
    process.env[FAULTS_VARIABLE] = `@${file}`
    process.once('exit', () => rmSync(dirname(file), { recursive: true, force: true }))
  }

  /** What is set in processes when they start; text as in docs/fault-points.md. None without it. */
  static atStart(text = ''): void {
    writeFileSync(file, text)
  }

  /** Sets a fault; one that is set there already is replaced. */
  async inject(
    target: FaultTarget,
    point: FaultPoint,
    action: FaultAction,
    options: FaultOptions = {},
  ): Promise<void> {
    const { start = 1, end = start, sleepMs = 0, content = null } = options
    const endpoint = await this.#endpoint(target)
    await this.#cluster.ask(endpoint, { type: 'fault.reset', point })
    await this.#cluster.ask(endpoint, {
      type: 'fault.inject',
      point,
      action,
      startOccurrence: start,
      endOccurrence: end,
      sleepMs,
      content,
    })
  }

  /** Resolves when the point has been reached so often since its fault was set. The process may be starting still. */
  async reached(target: FaultTarget, point: FaultPoint, hits = 1, timeoutMs = WAIT_MS): Promise<void> {
    const endpoint = await this.#endpoint(target)
    const message = { type: 'fault.wait', point, hits, timeoutMs } as const
    const listens = () => this.#cluster.ask(endpoint, { type: 'fault.status' })
    await waitFor(`whoever listens on port ${endpoint.port}`, listens, timeoutMs)
    await this.#cluster.ask(endpoint, message, timeoutMs + WAIT_MS)
  }

  async resume(target: FaultTarget, point: FaultPoint): Promise<void> {
    await this.#cluster.ask(await this.#endpoint(target), { type: 'fault.resume', point })
  }

  /** Forgets a fault, or all of a process. */
  async reset(target: FaultTarget, point: FaultPoint | null = null): Promise<void> {
    await this.#cluster.ask(await this.#endpoint(target), { type: 'fault.reset', point })
  }

  async status(target: FaultTarget): Promise<readonly FaultRow[]> {
    return (await this.#cluster.ask(await this.#endpoint(target), { type: 'fault.status' })).faults
  }

  async #endpoint(target: FaultTarget): Promise<Endpoint> {
    const places = await this.#cluster.lookAgain()
    const found =
      typeof target === 'number'
        ? places.rows.find(({ dbid }) => dbid === target)?.endpoint
        : places.hosts
            .filter(({ name }) => name === target.agent)
            .map(({ agentPort }) => ({ addresses: ['127.0.0.1'], port: agentPort }))[0]
    if (found === undefined)
      throw new Error(
        `there is no ${typeof target === 'number' ? `dbid ${target}` : `agent of ${target.agent}`}`,
      )
    return found
  }
}
