/**
 * The names of our namespaces, and their end. A name begins with the pid of the process that made it and the moment at which that was started, so what a killed run has
 * left can be told from what is in use.
 */
import { readFileSync } from 'node:fs'
import { ip } from './ip.ts'
import { waitFor } from '../cluster/wait-for.ts'

const FAMILY = 'mirabelle-test'
const ours = new RegExp(`^${FAMILY}-(\\d+)-(\\d+)-`)
/** The reapers of test clusters that run in a namespace end their cluster first. */
const REAPERS_MS = 30_000
const END_MS = 10_000

let made = 0

/** The beginning of the names of one network of this process. */
export function newPrefix(): string {
  made += 1
  return `${FAMILY}-${process.pid}-${startOf(process.pid)}-${made}-`
}

/** When a process was started, in ticks since the boot; undefined when it does not live. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name of the program comes second, in brackets, and may hold anything.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

async function namesOf(wanted: (name: string) => boolean): Promise<string[]> {
  const list = await ip(['netns', 'list'])
  return list
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '')
    .filter(wanted)
}

/** Pids of the processes in a namespace; none when it does not exist. */
export async function pidsIn(namespace: string): Promise<number[]> {
  try {
    const list = await ip(['netns', 'pids', namespace])
    return list.split('\n').filter(Boolean).map(Number)
  } catch (error) {
    if ((await namesOf((one) => one === namespace)).length > 0) throw error
    return []
  }
}

/** Ends everything in the namespaces whose names begin so, and deletes them. */
export async function removeNamespaces(prefix: string): Promise<void> {
  const names = await namesOf((name) => name.startsWith(prefix))
  const seen = async (): Promise<number[]> => (await Promise.all(names.map(pidsIn))).flat()
  for (const pid of (await seen()).filter((one) => !isReaper(one))) kill(pid)
  await waitFor(
    'the reapers of the clusters',
    async () => (await seen()).every((pid) => !isReaper(pid)),
    REAPERS_MS,
  )
  await waitFor(
    'the end of what runs in the namespaces',
    async () => {
      const left = await seen()
      for (const pid of left) kill(pid)
      return left.length === 0
    },
    END_MS,
  )
  for (const name of names) {
    try {
      await ip(['netns', 'delete', name])
    } catch (error) {
      // Somebody else may be clearing up the same.
      if ((await namesOf((one) => one === name)).length > 0) throw error
    }
  }
}

/** Removes what runs of this harness have left that were killed together with their reaper. Returns the names. */
export async function removeLeftovers(): Promise<string[]> {
  const left = await namesOf((name) => {
    const [, pid, start] = ours.exec(name) ?? []
    return pid !== undefined && startOf(Number(pid)) !== start
  })
  const prefixes = new Set(left.map((name) => name.split('-').slice(0, 5).join('-') + '-'))
  for (const prefix of prefixes) await removeNamespaces(prefix)
  return left
}

function isReaper(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('/reaper-main.')
  } catch {
    return false // it has ended
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
