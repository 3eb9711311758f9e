/**
 * Mirrors from the command line: planned and made by the coordinator. Here progress is shown, and the description of the cluster is kept as the catalog is.
 * A command that was interrupted leaves work that goes on; the same command again follows it.
 */
import type { ActionResult, MessageOf, MirrorMove, MirrorStep } from '@mirabelle/messages'
import type { Mirroring } from '../placement/placement.ts'
import { CliError, sentenceOf } from '../errors.ts'
import { ensureAgentsOrSay } from './agents.ts'
import type { Cluster } from './cluster.ts'
import { requireCoordinator } from './coordinators.ts'
import { withProgress } from './copy-progress.ts'
import { describedBy, type Catalog } from './describe-catalog.ts'

/** Agents read WAL of every instance in question. */
const PLAN_MS = 300_000
/** Large databases take their time; work that makes no progress is given up by the coordinator long before. */
const WORK_MS = 7 * 24 * 3_600_000
const CATALOG_MS = 5_000

export type RecoverMode = MessageOf<'mirrors.plan'>['mode']

export interface MirrorLimits {
  /** Segments at a time. */
  readonly parallel: number
  /** Bytes a second of each copy; null = no limit. */
  readonly maxRate: number | null
  /** Given up when nothing has changed for so long, ms. */
  readonly stallMs: number
}

export const DEFAULT_PARALLEL = 16
export const DEFAULT_STALL_MS = 300_000

/** Asks the coordinator who is where, and brings the description up to date. Throws CliError when none answers. */
export async function readCatalog(cluster: Cluster): Promise<Catalog> {
  await ensureAgentsOrSay(cluster)
  const acting = await requireCoordinator(cluster)
  const { rows, mirroring } = await cluster.control.ask(
    acting.row.endpoint,
    { type: 'cluster.catalog' },
    CATALOG_MS,
  )
  await cluster.folder.update(describedBy({ rows, mirroring }))
  return { rows, mirroring }
}

/** How the moves would be carried out; with `look` also by which ways and with how many bytes. Nothing is changed. */
export async function planMoves(
  cluster: Cluster,
  moves: readonly MirrorMove[],
  options: { readonly mode: RecoverMode; readonly look: boolean },
): Promise<readonly MirrorStep[]> {
  const { row } = await requireCoordinator(cluster)
  const { steps } = await cluster.control.ask(
    row.endpoint,
    { type: 'mirrors.plan', moves, ...options },
    PLAN_MS,
  )
  return steps
}

/** Carries the steps out. A result per step. */
export async function makeSteps(
  cluster: Cluster,
  steps: readonly MirrorStep[],
  limits: MirrorLimits,
  mirroring: Exclude<Mirroring, 'none'> | null = null,
): Promise<readonly ActionResult[]> {
  const { row } = await requireCoordinator(cluster)
  // An interrupted command must leave a description that leads to what goes on without it.
  const message = { type: 'mirrors.make', steps, mirroring, ...limits } as const
  const targets = steps.filter(({ obstacle }) => obstacle === null).map((step) => step.row)
  return withWork(cluster, () =>
    withProgress(
      cluster,
      targets,
      async () => (await cluster.control.ask(row.endpoint, message, WORK_MS)).results,
    ),
  )
}

/** Brings contents back that nobody serves, each from its newest copy; with `look` it is only said how. A result for each; none when all are served. */
export async function revive(
  cluster: Cluster,
  acceptDataLoss: readonly number[],
  { stallMs }: Pick<MirrorLimits, 'stallMs'>,
  look = false,
): Promise<readonly ActionResult[]> {
  await ensureAgentsOrSay(cluster)
  const { row } = await requireCoordinator(cluster)
  const message = { type: 'cluster.revive', acceptDataLoss, stallMs: Math.round(stallMs), look } as const
  return (await cluster.control.ask(row.endpoint, message, WORK_MS)).results
}

/** Makes the cluster one without mirrors. */
export async function removeMirrors(cluster: Cluster): Promise<readonly ActionResult[]> {
  await ensureAgentsOrSay(cluster)
  const { row } = await requireCoordinator(cluster)
  return withWork(
    cluster,
    async () => (await cluster.control.ask(row.endpoint, { type: 'mirrors.remove' }, WORK_MS)).results,
  )
}

async function withWork<T>(cluster: Cluster, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw new CliError(`${sentenceOf(error)}; run the same command again: it goes on where this one ended`, {
      cause: error,
    })
  } finally {
    await readCatalog(cluster).catch((error: unknown) => {
      cluster.reporter.say(`cluster.json may be older than the catalog now: ${sentenceOf(error)}`)
    })
  }
}
