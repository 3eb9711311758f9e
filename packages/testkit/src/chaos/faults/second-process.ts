/** A second process of an instance, as the agent starts them, but not by the agent: what happens when nobody knows of the first one any more. It must end by itself. */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ENGINE_PROCESS_OPTIONS } from '@mirabelle/engine'
import { pause } from '../../cluster/wait-for.ts'
import type { ClusterView, Seen } from './cluster-view.ts'
import type { Fault } from './fault.ts'
import { nameOf, oneRunning } from './signals.ts'

/** Longer than a start takes: who has not ended by then runs. */
const ENDS_MS = 20_000
const LOOK_MS = 20
const script = fileURLToPath(new URL('instance-main.js', import.meta.resolve('@mirabelle/agent')))

/** Two processes work on one data directory. */
export class TwoProcesses extends Error {
  override readonly name = 'TwoProcesses'
}

export const secondProcessFaults = {
  'start-twice': {
    description:
      'an instance that runs is started once more beside itself, on other ports: the second one must end',
    weight: 4,
    strike: async (context) => {
      const one = await oneRunning(context)
      if (one === undefined) return undefined
      const running = startAgain(context.view, one)
      return { what: `a second process of ${nameOf(one)}`, contents: [], running }
    },
  },
} satisfies Record<string, Fault>

/** What it says that is refused because of the first one, or before it comes to that. */
const REFUSED = /is in use by|has promised epoch|is not started by a coordinator/

/** Resolves with how it ended. Rejects with TwoProcesses when it did not, or when it came so far that it ended for another reason. */
async function startAgain(view: ClusterView, one: Seen & { readonly pid: number }): Promise<string> {
  const hostDir = view.dirOf(one.host)
  const assignment = await view.lastAssignment(one.dbid)
  const epoch = (await view.statusOf(one))?.epoch ?? assignment.epoch
  const listen = { ...assignment.listen, port: 0 }
  const startFile = join(hostDir, `second-${one.dbid}.json`)
  await writeFile(startFile, JSON.stringify({ ...assignment, epoch, listen, sqlPort: 0 }))
  const child = start(view, one.host, hostDir, ['--host-dir', hostDir, '--start', startFile])
  let said = ''
  child.stderr?.on('data', (text) => (said += String(text)))
  let end: string | undefined
  child.once('close', (code, signal) => (end = `ended with ${signal ?? `status ${String(code)}`}`))
  const deadline = performance.now() + ENDS_MS
  // Whoever has lost the first one may run the second: it is ended before the agent starts another.
  while (end === undefined && view.lives(one.pid) && performance.now() < deadline) await pause(LOOK_MS)
  const isFirstThere = view.lives(one.pid)
  child.kill('SIGKILL')
  const words = said.trim().split('\n').at(-1) ?? ''
  if (end !== undefined && REFUSED.test(words)) return `it ${end}: ${words}`
  if (!isFirstThere) return 'the first one has ended'
  throw new TwoProcesses(
    `a second process worked on the data directory of ${nameOf(one)} and ${end ?? `ran for ${ENDS_MS} ms`}: ${words}`,
  )
}

function start(view: ClusterView, host: string, cwd: string, args: readonly string[]): ChildProcess {
  const command = [process.execPath, ...ENGINE_PROCESS_OPTIONS.execArgv, script, ...args]
  const options: SpawnOptions = {
    cwd,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...ENGINE_PROCESS_OPTIONS.env },
  }
  if (view.network !== undefined) return view.network.spawn(host, command, options)
  return spawn(command[0] as string, command.slice(1), options)
}
