/** Whole hosts from the command line: the coordinator decides what is safe. */
import type { ActionResult, Endpoint } from '@mirabelle/messages'
import { planRecovery, recoverSteps } from '../commands/recover.ts'
import { CliError } from '../errors.ts'
import { ensureAgentsOrSay } from './agents.ts'
import type { Cluster } from './cluster.ts'
import { requireCoordinator } from './coordinators.ts'
import { DEFAULT_PARALLEL } from './mirror-admin.ts'
import type { StopMode } from './stop-cluster.ts'

const STOP_MS = 300_000
/** A switchover's own limits, and the answer after it. */
const ANSWER_MARGIN_MS = 120_000
const START_MS = 60_000

/** How long a transaction may keep a switchover waiting, and how long the pairs may take to be in sync, ms. */
export interface DrainLimits {
  readonly laneTimeoutMs: number
  readonly timeoutMs: number
}

/** Lets other hosts act as primary for the segments of this one. A result per segment that acted as primary here. */
export async function drainHost(
  cluster: Cluster,
  hostname: string,
  limits: DrainLimits,
): Promise<readonly ActionResult[]> {
  cluster.folder.host(hostname)
  await ensureAgentsOrSay(cluster)
  const { row } = await requireCoordinator(cluster)
  const [laneTimeoutMs, timeoutMs] = [Math.round(limits.laneTimeoutMs), Math.round(limits.timeoutMs)]
  const contents = new Set(cluster.folder.file.rows.map(({ content }) => content)).size
  const { results } = await cluster.control.ask(
    row.endpoint,
    { type: 'host.drain', hostname, laneTimeoutMs, timeoutMs },
    timeoutMs + contents * laneTimeoutMs + ANSWER_MARGIN_MS,
  )
  return results
}

export interface StopHostOptions {
  readonly mode: StopMode
  /** Let other hosts act as primary first; null = those segments fail over. */
  readonly drain: DrainLimits | null
}

/**
 * Stops the instances of a host. Throws CliError when that would leave a content without a copy in sync, and, nothing being stopped then, when a
 * segment could not be drained.
 */
export async function stopHost(
  cluster: Cluster,
  hostname: string,
  { mode, drain }: StopHostOptions,
): Promise<readonly ActionResult[]> {
  cluster.folder.host(hostname)
  const { row } = await requireCoordinator(cluster)
  const request = { type: 'host.stop', hostname, mode } as const
  const ask = async (look: boolean) =>
    (await cluster.control.ask(row.endpoint, { ...request, look }, STOP_MS)).results
  // What is refused is refused before anything is moved or said.
  await ask(true)
  if (drain === null) await warnOfFailovers(cluster, hostname, row.endpoint)
  else await drainAll(cluster, hostname, drain)
  return ask(false)
}

async function drainAll(cluster: Cluster, hostname: string, limits: DrainLimits): Promise<void> {
  const left = (await drainHost(cluster, hostname, limits)).filter(({ outcome }) => outcome !== 'done')
  if (left.length === 0) return
  throw new CliError(
    `Host ${hostname} was not stopped: ${left.length} segment(s) still act as primary there (${left.map(({ message }) => message).join('; ')})`,
  )
}

async function warnOfFailovers(cluster: Cluster, hostname: string, coordinator: Endpoint): Promise<void> {
  const { rows } = await cluster.control.ask(coordinator, { type: 'cluster.catalog' }, START_MS)
  const acting = rows.filter((one) => one.hostname === hostname && one.content >= 0 && one.role === 'p')
  if (acting.length > 0)
    cluster.reporter.say(
      `Warning: ${acting.length} segment(s) act as primary on ${hostname} and fail over now: open transactions on them end with an error; --drain moves them away first`,
    )
}

/** Starts what should run there, and recovers what is down in place. */
export async function startHost(
  cluster: Cluster,
  hostname: string,
  stallMs: number,
): Promise<readonly ActionResult[]> {
  cluster.folder.host(hostname)
  await ensureAgentsOrSay(cluster)
  const { row } = await requireCoordinator(cluster)
  const started = await cluster.control.ask(row.endpoint, { type: 'cluster.start' }, START_MS)
  const { rows } = await cluster.control.ask(row.endpoint, { type: 'cluster.catalog' }, START_MS)
  const here = rows.filter((one) => one.hostname === hostname)
  const down = here
    .filter(({ content, status, role }) => content >= 0 && status === 'd' && role === 'm')
    .map(({ dbid }) => dbid)
  const failed = started.results.filter(
    ({ dbid, outcome }) => outcome === 'failed' && here.some((one) => one.dbid === dbid),
  )
  const steps = down.length === 0 ? [] : await planRecovery(cluster, { mode: 'auto', only: down })
  if (steps.length === 0) return failed
  const limits = { parallel: DEFAULT_PARALLEL, maxRate: null, stallMs: Math.round(stallMs) }
  return [...failed, ...(await recoverSteps(cluster, steps, limits))]
}
