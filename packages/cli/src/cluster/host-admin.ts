/** Whole hosts from the command line: the coordinator decides what is safe. */
import type { ActionResult } from '@mirabelle/messages'
import { planRecovery, recoverSteps } from '../commands/recover.ts'
import { ensureAgents } from './agents.ts'
import type { Cluster } from './cluster.ts'
import { requireCoordinator } from './coordinators.ts'
import { DEFAULT_PARALLEL } from './mirror-admin.ts'
import type { StopMode } from './stop-cluster.ts'

const STOP_MS = 300_000
/** A switchover's own limits, and the answer after it. */
const ANSWER_MARGIN_MS = 120_000
const START_MS = 60_000

/** Lets other hosts act as primary for the segments of this one. A result per segment that acted as primary here. */
export async function drainHost(
  cluster: Cluster,
  hostname: string,
  limits: { readonly laneTimeoutMs: number; readonly timeoutMs: number },
): Promise<readonly ActionResult[]> {
  cluster.folder.host(hostname)
  await ensureAgents(cluster)
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

/** Stops the instances of a host. Throws CliError when that would leave a content without a copy in sync. */
export async function stopHost(
  cluster: Cluster,
  hostname: string,
  mode: StopMode,
): Promise<readonly ActionResult[]> {
  cluster.folder.host(hostname)
  const { row } = await requireCoordinator(cluster)
  const { results } = await cluster.control.ask(row.endpoint, { type: 'host.stop', hostname, mode }, STOP_MS)
  return results
}

/** Starts what should run there, and recovers what is down in place. */
export async function startHost(
  cluster: Cluster,
  hostname: string,
  stallMs: number,
): Promise<readonly ActionResult[]> {
  cluster.folder.host(hostname)
  await ensureAgents(cluster)
  const { row } = await requireCoordinator(cluster)
  const started = await cluster.control.ask(row.endpoint, { type: 'cluster.start' }, START_MS)
  const { rows } = await cluster.control.ask(row.endpoint, { type: 'cluster.catalog' }, START_MS)
  const here = rows.filter((one) => one.hostname === hostname)
  const down = here.filter(({ status, role }) => status === 'd' && role === 'm').map(({ dbid }) => dbid)
  const failed = started.results.filter(
    ({ dbid, outcome }) => outcome === 'failed' && here.some((one) => one.dbid === dbid),
  )
  const steps = down.length === 0 ? [] : await planRecovery(cluster, { mode: 'auto', only: down })
  if (steps.length === 0) return failed
  const limits = { parallel: DEFAULT_PARALLEL, maxRate: null, stallMs: Math.round(stallMs) }
  return [...failed, ...(await recoverSteps(cluster, steps, limits))]
}
