/** Faults of primaries and mirrors. */
import type { Seen } from './cluster-view.ts'
import type { Fault, FaultContext, Struck } from './fault.ts'
import { isRunning, nameOf, oneRunning, signal } from './signals.ts'

export const segmentFaults = {
  'kill-primary': {
    description: 'SIGKILL to a primary',
    weight: 5,
    strike: (context) => kill(context, (one) => one.role === 'p'),
  },
  'kill-mirror': {
    description: 'SIGKILL to a mirror',
    weight: 3,
    strike: (context) => kill(context, (one) => one.role === 'm'),
  },
  'kill-pair': {
    description: 'SIGKILL to both instances of a content',
    weight: 2,
    strike: async ({ view, random }) => {
      const content = random.below(view.contents)
      const pair = (await view.look()).filter((one) => one.content === content).filter(isRunning)
      if (pair.length === 0) return undefined
      for (const { pid } of pair) signal(pid, 'SIGKILL')
      return { what: `SIGKILL to ${pair.map(nameOf).join(' and ')}`, contents: [content] }
    },
  },
  'pause-primary': {
    description: 'SIGSTOP to a primary, SIGCONT at the end of the round: before or after it is replaced',
    weight: 4,
    strike: (context) => stop(context, (one) => one.role === 'p'),
  },
  'pause-mirror': {
    description: 'SIGSTOP to a mirror, SIGCONT at the end of the round',
    weight: 2,
    strike: (context) => stop(context, (one) => one.role === 'm'),
  },
} satisfies Record<string, Fault>

async function kill(context: FaultContext, which: (one: Seen) => boolean): Promise<Struck | undefined> {
  const one = await oneRunning(context, (seen) => seen.content >= 0 && which(seen))
  if (one === undefined || !signal(one.pid, 'SIGKILL')) return undefined
  return { what: `SIGKILL to ${nameOf(one)}`, contents: [one.content], isSurvived: true }
}

async function stop(context: FaultContext, which: (one: Seen) => boolean): Promise<Struck | undefined> {
  const one = await oneRunning(context, (seen) => seen.content >= 0 && which(seen))
  if (one === undefined || !signal(one.pid, 'SIGSTOP')) return undefined
  return {
    what: `SIGSTOP to ${nameOf(one)}`,
    contents: [one.content],
    isSurvived: true,
    release: () => void signal(one.pid, 'SIGCONT'),
  }
}
