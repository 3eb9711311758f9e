/** A second process of an instance, as the agent starts them, but not by the agent: what happens when nobody knows of the first one any more. It must end by itself. */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ENGINE_PROCESS_OPTIONS } from '@mirabelle/engine'
import type { ClusterView, Seen } from './cluster-view.ts'
import type { Fault } from './fault.ts'
import { isRunning, nameOf } from './signals.ts'

/** Longer than a start takes: who has not ended by then runs. */
const ENDS_MS = 20_000
const script = fileURLToPath(new URL('instance-main.js', import.meta.resolve('@mirabelle/agent')))

/** Two processes work on one data directory. */
export class TwoProcesses extends Error {
  override readonly name = 'TwoProcesses'
}

export const secondProcessFaults = {
  'start-twice': {
    description:
      'an instance that runs is started once more beside itself, on other ports: the second one must end',
    weight: 3,
    strike: async ({ view, random }) => {
      const running = (await view.look()).filter(isRunning)
      if (running.length === 0) return undefined
      const one = random.pick(running)
      return { what: `a second process of ${nameOf(one)}`, contents: [], running: startAgain(view, one) }
    },
  },
} satisfies Record<string, Fault>

/** Resolves with how it ended. Rejects with TwoProcesses when it did not. */
async function startAgain(view: ClusterView, one: Seen): Promise<string> {
  const hostDir = view.dirOf(one.host)
  const assignment = await view.lastAssignment(one.dbid)
  const epoch = (await view.statusOf(one))?.epoch ?? assignment.epoch
  const listen = { ...assignment.listen, port: 0 }
  const startFile = join(hostDir, `second-${one.dbid}.json`)
  await writeFile(startFile, JSON.stringify({ ...assignment, epoch, listen, sqlPort: 0 }))
  const child = start(view, one.host, hostDir, ['--host-dir', hostDir, '--start', startFile])
  const ended = new Promise<string>((resolve) =>
    child.once('exit', (code, signal) => resolve(`it ended with ${signal ?? `status ${String(code)}`}`)),
  )
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ENDS_MS)
  })
  const how = await Promise.race([ended, late])
  clearTimeout(timer)
  if (how !== undefined) return how
  child.kill('SIGKILL')
  await ended
  throw new TwoProcesses(`a second process ran on the data directory of ${nameOf(one)} for ${ENDS_MS} ms`)
}

function start(view: ClusterView, host: string, cwd: string, args: readonly string[]): ChildProcess {
  const log = openSync(join(cwd, 'second.log'), 'a')
  const command = [process.execPath, ...ENGINE_PROCESS_OPTIONS.execArgv, script, ...args]
  const options: SpawnOptions = {
    cwd,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...ENGINE_PROCESS_OPTIONS.env },
  }
  try {
    if (view.network !== undefined) return view.network.spawn(host, command, options)
    return spawn(command[0] as string, command.slice(1), options)
  } finally {
    closeSync(log)
  }
}
