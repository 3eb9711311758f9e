/** The process port of a simulated agent: what it spawns are instances of the simulation. */
import type { Processes, ProcessExit, WatchedProcess } from '@mirabelle/agent'
import type { Assignment } from '@mirabelle/messages'
import type { SimProcess } from './sim-process.ts'

/** From fork to the first line of the program, ms. */
const SPAWN_MS = [2, 8] as const
/** From the end of a process to its parent's hearing of it, ms. */
const REAP_MS = [0.2, 2] as const

/** `host` starts the program of an instance in a process; `onSpawned` is told before. */
export function simProcesses(
  agent: SimProcess,
  host: (process: SimProcess, assignment: Assignment) => void,
  certificateDelayMs: () => number,
  onSpawned: (assignment: Assignment) => void,
): Processes {
  const { world } = agent
  const watch = (process: SimProcess): WatchedProcess => ({
    pid: process.pid,
    exited: new Promise<ProcessExit>((resolve) => {
      process.onExit((exit) => {
        agent.schedule(world.random.between(...REAP_MS) + certificateDelayMs(), () => resolve(exit))
      })
    }),
    kill: () => {
      agent.schedule(0, () => process.kill())
    },
  })
  return {
    spawn(_script, args) {
      const file = agent.host.files.file(args[args.indexOf('--start') + 1] ?? '')
      if (file === undefined) return Promise.reject(new Error('the start file is missing'))
      const assignment = JSON.parse(new TextDecoder().decode(file.content)) as Assignment
      onSpawned(assignment)
      return new Promise((resolve) => {
        agent.schedule(world.random.between(...SPAWN_MS), () => {
          const process = agent.host.spawn(`dbid${assignment.dbid}`)
          const watched = watch(process)
          process.schedule(world.random.between(...SPAWN_MS), () => host(process, assignment))
          resolve(watched)
        })
      })
    },
    holderOf(datadir) {
      const holder = agent.host.locks.get(datadir)
      return Promise.resolve(holder?.alive === true ? holder.pid : undefined)
    },
    adopt(pid) {
      const process = [...agent.host.processes].find((one) => one.pid === pid)
      return process === undefined ? undefined : watch(process)
    },
  }
}
