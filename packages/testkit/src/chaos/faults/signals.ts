/** Signals to processes of the cluster. A process that has ended meanwhile is no error: that is what faults bring with them. */
import type { Seen } from './cluster-view.ts'
import type { FaultContext } from './fault.ts'

/** False when there is no such process any more. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

export function nameOf({ dbid, content, host }: Seen): string {
  return `dbid ${dbid} (content ${content}, ${host})`
}

export function isRunning(one: Seen): one is Seen & { readonly pid: number } {
  return one.pid !== null
}

/** One of those that run now and are meant; undefined when there is none. */
export async function oneRunning(
  { view, random }: Pick<FaultContext, 'view' | 'random'>,
  which: (one: Seen) => boolean = () => true,
): Promise<(Seen & { readonly pid: number }) | undefined> {
  const candidates = (await view.look()).filter(which).filter(isRunning)
  return candidates.length === 0 ? undefined : random.pick(candidates)
}

/** SIGKILL to the primaries of these contents; returns who they were. */
export function killPrimaries(seen: readonly Seen[], contents: readonly number[]): string[] {
  return seen
    .filter(({ content, role }) => role === 'p' && contents.includes(content))
    .filter(isRunning)
    .filter(({ pid }) => signal(pid, 'SIGKILL'))
    .map(nameOf)
}
