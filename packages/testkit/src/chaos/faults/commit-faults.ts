/**
 * Faults in the middle of two-phase commits. A transaction is stopped at a fault point of the coordinator; then somebody dies who has prepared it, or has still to be told how it ends.
 * Clients' transactions take some ms from PREPARE TRANSACTION to COMMIT PREPARED: faults at any time hardly ever hit one there.
 */
import type { FaultPoint } from '@mirabelle/messages'
import { pause } from '../../cluster/wait-for.ts'
import type { SimRandom } from '../../sim/sim-random.ts'
import type { ClusterView, Seen } from './cluster-view.ts'
import { activation } from './coordinator-faults.ts'
import type { Fault, FaultContext, Struck } from './fault.ts'
import { isRunning, killPrimaries, nameOf, signal } from './signals.ts'

/** How long a transaction that comes by is waited for. */
const REACHED_MS = 5_000
/** What a content had prepared is ended, and its lane is about to open. */
const RESOLVED = 'resolution.end'

/** Where a transaction can be stopped, and what it leaves behind on the contents. `one`: only on its way to one of them. */
const moments: readonly { readonly point: FaultPoint; readonly one: boolean }[] = [
  // Prepared on the others, not there: it must be rolled back.
  { point: 'two-phase.prepare', one: true },
  { point: 'two-phase.prepare', one: true },
  { point: 'two-phase.prepare', one: true },
  { point: 'two-phase.all-prepared', one: false },
  { point: 'two-phase.decided', one: false },
  // Committed on the others, prepared there: it must be committed.
  { point: 'two-phase.end', one: true },
]

/** A transaction that stands still in its commit. */
interface Caught {
  readonly coordinator: Seen & { readonly pid: number }
  /** The one that has still to be told; any one where it stands before or behind all. */
  readonly content: number
  readonly where: string
  readonly resume: () => Promise<void>
}

export const commitFaults = {
  'kill-coordinator-in-commit': {
    description:
      'SIGKILL to the coordinator while a transaction is prepared or committed on some contents; activation of its standby, in half of the cases',
    weight: 6,
    strike: async ({ view, random }) => {
      const caught = await catchOne(view, random)
      if (caught === undefined) return undefined
      await pause(random.between(0, 200))
      signal(caught.coordinator.pid, 'SIGKILL')
      const what = `SIGKILL to the coordinator, ${nameOf(caught.coordinator)}, ${caught.where}`
      const contents = view.allContents
      const hasStandby = view.seen.some((one) => one.content === -1 && one.role === 'm' && isRunning(one))
      if (!hasStandby || random.chance(0.5)) return { what, contents }
      return { what: `${what}; activation of the standby`, contents, ...activation(view) }
    },
  },
  'kill-primary-in-commit': {
    description: 'SIGKILL to one or two primaries that have prepared a transaction, or have still to do it',
    weight: 11,
    strike: (context) => killParticipants(context),
  },
} satisfies Record<string, Fault>

/**
 * With two of them no participant may be left that knows the transaction, or the first one has been judged by what the second one has yet to do. In between the mirror of the first one
 * has become primary, and what was prepared there is ended, or not.
 */
async function killParticipants({ view, random }: FaultContext): Promise<Struck | undefined> {
  const caught = await catchOne(view, random)
  if (caught === undefined) return undefined
  const others = view.dataContents.filter((content) => content !== caught.content)
  const first = others.length > 0 && random.chance(0.85) ? random.pick(others) : caught.content
  const second = first !== caught.content && random.chance(0.85) ? caught.content : undefined
  const waits = random.chance(0.85)
  const gap = random.between(0, 2_000)
  const { dbid } = caught.coordinator
  if (waits) await watch(view, dbid, RESOLVED, first)
  const killed = killPrimaries(view.seen, [first])
  const run = async (): Promise<string> => {
    if (waits) await view.points.reached(dbid, RESOLVED, 1, REACHED_MS).catch(() => undefined) // it takes longer
    await pause(gap)
    const more = second === undefined ? [] : killPrimaries(view.seen, [second])
    await pause(gap)
    await caught.resume()
    if (waits) await reset(view, dbid, RESOLVED)
    return [...more.map((name) => `SIGKILL to ${name}`), 'the transaction goes on'].join(', ')
  }
  return {
    what: `SIGKILL to ${killed.join()} ${caught.where}`,
    // Whoever is stopped in the middle of its commit has what it wrote on.
    contents: view.dataContents,
    running: run(),
  }
}

/** Counts how often the point is reached, and does no harm there. */
async function watch(view: ClusterView, dbid: number, point: FaultPoint, content: number): Promise<void> {
  await view.points.inject(dbid, point, 'sleep', { content, sleepMs: 1 }).catch(() => undefined) // it has just died
}

/** Undefined when there is no coordinator, or no transaction comes by. */
async function catchOne(view: ClusterView, random: SimRandom): Promise<Caught | undefined> {
  const coordinator = (await view.look())
    .filter(isRunning)
    .find(({ content, role }) => content === -1 && role === 'p')
  const { point, one } = random.pick(moments)
  const content = random.pick(view.dataContents)
  if (coordinator === undefined) return undefined
  const { dbid } = coordinator
  try {
    await view.points.inject(dbid, point, 'suspend', one ? { content } : {})
    await view.points.reached(dbid, point, 1, REACHED_MS)
  } catch {
    // It is stopped, has just died, or nothing is committed while a content is away: there is nothing to do it to.
    await reset(view, dbid, point)
    return undefined
  }
  const where = `while a transaction stands at ${point}${one ? ` of content ${content}` : ''}`
  return { coordinator, content, where, resume: () => reset(view, dbid, point) }
}

/** Lets go on what stands there. */
async function reset(view: ClusterView, dbid: number, point: FaultPoint): Promise<void> {
  await view.points.reset(dbid, point).catch(() => undefined) // a process that is gone has no fault points
}
