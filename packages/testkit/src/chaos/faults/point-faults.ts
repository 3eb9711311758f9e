/** Crashes between two steps of an instance: at a fault point that it passes by itself, or because of what is done to another one. */
import type { FaultAction, FaultPoint } from '@mirabelle/messages'
import { PROMOTION_POINTS, type FaultOptions } from '../../cluster/fault-points.ts'
import { pause, waitFor } from '../../cluster/wait-for.ts'
import type { ClusterView, Seen } from './cluster-view.ts'
import { NoFailover, type Fault, type FaultContext, type Struck } from './fault.ts'
import { isRunning, nameOf, signal } from './signals.ts'

interface Plan {
  /** Who crashes there. */
  readonly who: 'coordinator' | 'primary' | 'mirror'
  readonly points: readonly FaultPoint[]
  /** Whose end makes it pass the point: another instance of that content. */
  readonly because?: 'primary' | 'mirror'
  /** Up to so many times it passes unharmed. */
  readonly passes: number
}

const plans: readonly Plan[] = [
  { who: 'primary', points: ['fsync.wal.primary.before', 'fsync.wal.primary.after'], passes: 50 },
  { who: 'mirror', points: ['fsync.wal.mirror.before', 'fsync.wal.mirror.after'], passes: 50 },
  { who: 'primary', points: ['probe.answer', 'checkpoint.before', 'checkpoint.after'], passes: 0 },
  {
    who: 'mirror',
    points: PROMOTION_POINTS,
    because: 'primary',
    passes: 0,
  },
  {
    who: 'coordinator',
    points: [
      'fts.failover.before',
      'fts.failover.after',
      'resolution.begin',
      'resolution.listed',
      'resolution.end',
    ],
    because: 'primary',
    passes: 0,
  },
  {
    who: 'coordinator',
    points: ['fts.mirror-down.before', 'fts.mirror-down.after'],
    because: 'mirror',
    passes: 0,
  },
  { who: 'primary', points: ['state.syncRep.before', 'state.syncRep.after'], because: 'mirror', passes: 0 },
]

export const pointFaults = {
  'crash-at-point': {
    description:
      'an instance crashes at a fault point: around an fsync of WAL, in a promotion, around a decision of FTS, …',
    weight: 5,
    strike: (context) => crashAtPoint(context),
  },
  'kill-primary-unsent': {
    description:
      'a primary sends no WAL any more, and a moment later gets SIGKILL: nothing may be told meanwhile',
    weight: 4,
    strike: (context) => killUnsent(context),
  },
  'hang-probes': {
    description:
      'a primary lives, and answers no probe of FTS until the end of the round: it is to be replaced',
    weight: 2,
    strike: (context) => hangProbes(context),
  },
} satisfies Record<string, Fault>

/** How long a primary goes on without sending WAL, ms. */
const UNSENT_MS = [20, 800] as const

async function killUnsent({ view, random }: FaultContext): Promise<Struck | undefined> {
  const content = random.below(view.contents)
  const one = find((await view.look()).filter(isRunning), 'primary', content)
  if (one === undefined || !(await happens(view, one, 'send.wal.data', 'suspend', { end: -1 })))
    return undefined
  await pause(random.between(...UNSENT_MS))
  signal(one.pid, 'SIGKILL')
  return {
    what: `SIGKILL to ${nameOf(one)}, which had stopped to send WAL`,
    contents: [content],
    isSurvived: true,
  }
}

async function hangProbes({ view, random }: FaultContext): Promise<Struck | undefined> {
  const content = random.below(view.contents)
  const one = find((await view.look()).filter(isRunning), 'primary', content)
  if (one === undefined || !(await happens(view, one, 'probe.answer', 'suspend', { end: -1 })))
    return undefined
  const isReplaced = async (): Promise<boolean> =>
    (await view.look()).some(({ dbid, role }) => dbid === one.dbid && role === 'm')
  const what = `${nameOf(one)} answers no probe any more`
  return {
    what,
    contents: [content],
    isSurvived: true,
    survived: async (limitMs) => {
      await waitFor(`dbid ${one.dbid} to be replaced`, isReplaced, limitMs).catch((error: unknown) => {
        throw new NoFailover(`nobody took over: ${what}`, { cause: error })
      })
    },
    release: () => view.points.reset(one.dbid, 'probe.answer').catch(() => undefined), // it was killed, as is right
  }
}

async function crashAtPoint({ view, random }: FaultContext): Promise<Struck | undefined> {
  const { who, points, because, passes } = random.pick(plans)
  const point = random.pick(points)
  const content = random.below(view.contents)
  const start = 1 + random.below(passes + 1)
  const running = (await view.look()).filter(isRunning)
  const one = find(running, who, content)
  const cause = because === undefined ? undefined : find(running, because, content)
  if (one === undefined || (because !== undefined && cause === undefined)) return undefined
  if (!(await happens(view, one, point, 'crash', { start }))) return undefined
  const what = `${nameOf(one)} is to crash at ${point}, when it is there for time ${start}`
  const contents = who === 'coordinator' ? view.allContents : [content]
  if (cause === undefined) return { what, contents }
  signal(cause.pid, 'SIGKILL')
  return { what: `${what}; SIGKILL to ${nameOf(cause)}`, contents }
}

/** False when it cannot be set: the process is stopped, or has just died. */
async function happens(
  view: ClusterView,
  { dbid }: Seen,
  point: FaultPoint,
  action: FaultAction,
  options: FaultOptions,
): Promise<boolean> {
  try {
    await view.points.inject(dbid, point, action, options)
    return true
  } catch {
    return false
  }
}

type Running = Seen & { readonly pid: number }

function find(running: readonly Running[], who: Plan['who'], content: number): Running | undefined {
  const wanted = who === 'coordinator' ? -1 : content
  const role = who === 'mirror' ? 'm' : 'p'
  return running.find((one) => one.content === wanted && one.role === role)
}
