/**
 * The processes of a test cluster, found without asking anything of it: agents run in the folder of their host, and instances in that of their
 * agent. So they can be ended even when they are stopped, hang, or lost the agent that knew them.
 */
import { readdirSync, readlinkSync } from 'node:fs'

/** Pids of all processes whose working directory is `dir` or below it. Empty where the system has no /proc. */
export function processesBelow(dir: string): number[] {
  return namesOf('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      const cwd = readlinkSync(`/proc/${name}/cwd`)
      return cwd === dir || cwd.startsWith(`${dir}/`) || cwd.startsWith(`${dir} (deleted)`)
        ? [Number(name)]
        : []
    } catch {
      return [] // ended meanwhile, or another user's
    }
  })
}

function namesOf(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch {
    return []
  }
}

/** Sends SIGKILL to all of them, one straight after the other. Returns their pids. */
export function killBelow(dir: string): number[] {
  const pids = processesBelow(dir)
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  return pids
}
