/** Faults of agents, of whole hosts, and of everything at once. */
import { killBelow } from '../../cluster/processes-below.ts'
import type { Fault } from './fault.ts'
import { isRunning, nameOf, signal } from './signals.ts'

export const agentFaults = {
  'kill-agent': {
    description: 'SIGKILL to an agent: its instances go on, their deaths are told by nobody',
    weight: 2,
    strike: async ({ view, random }) => {
      const agents = await view.agents()
      if (agents.length === 0) return undefined
      const { host, pid } = random.pick(agents)
      return signal(pid, 'SIGKILL')
        ? { what: `SIGKILL to the agent of ${host}`, contents: [], isSurvived: true }
        : undefined
    },
  },
  'kill-host': {
    description: 'SIGKILL to an agent and all of its instances at once',
    weight: 2,
    strike: async ({ view, random }) => {
      const agents = await view.agents()
      const seen = (await view.look()).filter(isRunning)
      if (agents.length === 0) return undefined
      const { host, pid } = random.pick(agents)
      const lost = seen.filter((one) => one.host === host)
      signal(pid, 'SIGKILL')
      for (const one of lost) signal(one.pid, 'SIGKILL')
      const hasCoordinator = lost.some((one) => one.content === -1 && one.role === 'p')
      const contents = hasCoordinator
        ? seen.map(({ content }) => content)
        : lost.map(({ content }) => content)
      return {
        what: `SIGKILL to everything on ${host}: ${lost.map(nameOf).join(', ')}`,
        contents: [...new Set(contents)].sort((a, b) => a - b),
        isSurvived: view.isSpare(host),
      }
    },
  },
  'kill-everything': {
    description: 'SIGKILL to all processes of the cluster at once',
    weight: 1,
    strike: async ({ view }) => {
      await view.look()
      const pids = killBelow(view.dir)
      return { what: `SIGKILL to all ${pids.length} processes`, contents: view.allContents }
    },
  },
} satisfies Record<string, Fault>
