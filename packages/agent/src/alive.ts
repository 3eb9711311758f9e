/** Whether a process is there, for whoever is not its parent. */
import { readFileSync } from 'node:fs'

/** A process that may not be signalled is there, too; one that has ended and waits for its parent is not. */
export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return !ended(pid)
}

/** True for a process that has ended and waits for a parent that does not look (Linux; false where that cannot be known). */
function ended(pid: number): boolean {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return false // no /proc here, or gone between: the next look tells
  }
  const state = stat[stat.lastIndexOf(')') + 2]
  return state === 'Z' || state === 'X'
}
