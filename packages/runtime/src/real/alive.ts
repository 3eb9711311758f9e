/** Whether a process is there, for whoever is not its parent. */
import { readdirSync, readFileSync } from 'node:fs'

const PROC = '/proc'

/** A process that may not be signalled is there, too; one that has ended and waits for its parent is not. */
export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return !ended(pid)
}

/**
 * True for a process that has ended and waits for a parent that does not look (Linux; false where that cannot be known). One that was killed looks so as soon as its first thread is gone: until
 * the last one is, which may be in the middle of an fsync, its files and sockets are open, and it counts as alive.
 */
export function ended(pid: number, proc = PROC): boolean {
  const state = statOf(pid, proc)?.[0]
  if (state !== 'Z' && state !== 'X') return false
  try {
    return readdirSync(`${proc}/${pid}/task`).length <= 1
  } catch {
    return false // gone between: the next look tells
  }
}

/** When it was started, as the kernel counts: tells a process from a later one with its number. Empty where that cannot be known. */
export function startTimeOf(pid: number, proc = PROC): string {
  return statOf(pid, proc)?.[19] ?? ''
}

/** Whether that process is there, and not a later one with its number. `startTime`: what `startTimeOf` said of it. */
export function aliveSince(pid: number, startTime: string): boolean {
  return alive(pid) && startTimeOf(pid) === startTime
}

/** What the kernel says of it behind its name; undefined where there is no /proc, or no such process any more. */
function statOf(pid: number, proc: string): string[] | undefined {
  try {
    const stat = readFileSync(`${proc}/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}
