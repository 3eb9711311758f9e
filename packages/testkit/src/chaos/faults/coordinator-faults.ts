/** Faults of the coordinator and its standby. Clients of all contents notice those of the coordinator. */
import { pause, waitFor } from '../../cluster/wait-for.ts'
import type { ClusterView, Seen } from './cluster-view.ts'
import type { Fault, FaultContext, Struck } from './fault.ts'
import { isRunning, nameOf, signal } from './signals.ts'

/** How long one that has been replaced may take to notice it, when it can reach the others again. */
const NOTICED_MS = 30_000

/** A coordinator that has been replaced goes on. */
export class TwoCoordinators extends Error {
  override readonly name = 'TwoCoordinators'
}

export const coordinatorFaults = {
  'kill-coordinator': {
    description: 'SIGKILL to the coordinator, which is started again at the end of the round',
    weight: 2,
    strike: ({ view }) => strike(view, 'p', 'SIGKILL'),
  },
  'pause-coordinator': {
    description: 'SIGSTOP to the coordinator, SIGCONT at the end of the round',
    weight: 2,
    strike: ({ view }) => strike(view, 'p', 'SIGSTOP'),
  },
  'replace-coordinator': {
    description: 'SIGKILL to the coordinator, then activation of its standby',
    weight: 3,
    strike: ({ view }) => replace(view, 'SIGKILL'),
  },
  'replace-hung-coordinator': {
    description: 'SIGSTOP to the coordinator, activation of its standby, SIGCONT to the old one at the end',
    weight: 2,
    strike: ({ view }) => replace(view, 'SIGSTOP'),
  },
  'replace-by-late-standby': {
    description:
      'SIGKILL or SIGSTOP to the standby; a while after, SIGKILL to the coordinator; the standby goes on and is activated: refused when it lacks changes',
    weight: 4,
    strike: (context) => replaceByLate(context),
  },
  'kill-standby': {
    description: 'SIGKILL to the standby coordinator',
    weight: 2,
    strike: ({ view }) => strike(view, 'm', 'SIGKILL'),
  },
  'pause-standby': {
    description: 'SIGSTOP to the standby coordinator, SIGCONT at the end of the round',
    weight: 1,
    strike: ({ view }) => strike(view, 'm', 'SIGSTOP'),
  },
} satisfies Record<string, Fault>

async function strike(
  view: ClusterView,
  role: Seen['role'],
  name: 'SIGKILL' | 'SIGSTOP',
): Promise<Struck | undefined> {
  const one = (await view.look()).filter(isRunning).find((seen) => seen.content === -1 && seen.role === role)
  if (one === undefined || !signal(one.pid, name)) return undefined
  return {
    what: `${name} to the ${role === 'p' ? 'coordinator' : 'standby coordinator'}, ${nameOf(one)}`,
    // Without its standby the coordinator goes on: clients should not notice.
    contents: role === 'p' ? view.allContents : [-1],
    isSurvived: role === 'm',
    ...(name === 'SIGSTOP' ? { release: () => void signal(one.pid, 'SIGCONT') } : {}),
  }
}

/** The standby may refuse, and rightly: when it lacks changes. Then the old coordinator is started again, as an administrator would. */
async function replace(view: ClusterView, name: 'SIGKILL' | 'SIGSTOP'): Promise<Struck | undefined> {
  const seen = await view.look()
  const struck = seen.some((one) => one.content === -1 && one.role === 'm' && one.pid !== null)
    ? await strike(view, 'p', name)
    : undefined
  if (struck === undefined) return undefined
  return {
    ...struck,
    what: `${struck.what}; activation of the standby`,
    isSurvived: false,
    ...activation(view),
  }
}

/** How long the coordinator goes on beside a standby that is stopped, ms: until after it has given it up. */
const LATE_MS = [500, 12_000] as const

/** One that is stopped finds what has been sent to it when it goes on; one that has ended does not. */
async function replaceByLate({ view, random }: FaultContext): Promise<Struck | undefined> {
  const running = (await view.look()).filter(isRunning).filter(({ content }) => content === -1)
  const old = running.find(({ role }) => role === 'p')
  const standby = running.find(({ role }) => role === 'm')
  const isKilled = random.chance(0.6)
  const name = isKilled ? 'SIGKILL' : 'SIGSTOP'
  if (old === undefined || standby === undefined || !signal(standby.pid, name)) return undefined
  const lateMs = random.between(...LATE_MS)
  const goOn = (): void => void signal(standby.pid, 'SIGCONT')
  const run = async (): Promise<string> => {
    await pause(lateMs)
    signal(old.pid, 'SIGKILL')
    if (isKilled) await startAgain(view, standby)
    else goOn()
    return (await activate(view)).text
  }
  return {
    what: `${name} to ${nameOf(standby)}; after ${Math.round(lateMs)} ms SIGKILL to ${nameOf(old)}, and activation`,
    contents: view.allContents,
    release: goOn,
    running: run(),
  }
}

/** What does not start is not activated either. */
async function startAgain(view: ClusterView, { dbid }: Seen): Promise<void> {
  const cluster = await view.administrator()
  await cluster.startInstance(dbid).catch(() => undefined)
}

/** The standby takes over, and whoever was the coordinator when this was called has to notice it. */
export function activation(view: ClusterView): Required<Pick<Struck, 'running' | 'verify'>> {
  const old = view.seen.find(({ content, role }) => content === -1 && role === 'p')
  let isReplaced = false
  const running = activate(view).then((how) => {
    isReplaced = how.isActivated
    return how.text
  })
  const verify = async (): Promise<void> => {
    if (old === undefined || !isReplaced) return
    const hasNoticed = async (): Promise<boolean> => {
      if (old.pid === null || !view.lives(old.pid)) return true
      const state = (await view.statusOf(old))?.roleState
      return state !== undefined && state !== 'primary'
    }
    await waitFor(`${nameOf(old)} to notice`, hasNoticed, NOTICED_MS).catch((error: unknown) => {
      const text = `${nameOf(old)} acts as coordinator ${NOTICED_MS} ms after it could know that it was replaced`
      throw new TwoCoordinators(text, { cause: error })
    })
  }
  return { running, verify }
}

/** Lets the standby take over; resolves with how that ended. */
async function activate(
  view: ClusterView,
): Promise<{ readonly isActivated: boolean; readonly text: string }> {
  try {
    const cluster = await view.administrator()
    const { dbid, epoch, elapsedMs } = await cluster.activateStandby()
    await view.look()
    return {
      isActivated: true,
      text: `dbid ${dbid} is the coordinator, epoch ${epoch}, after ${elapsedMs} ms`,
    }
  } catch (error) {
    return { isActivated: false, text: `not activated: ${(error as Error).message}` }
  }
}
