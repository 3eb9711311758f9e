/** The process port: how the agent starts, watches and ends processes. */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { ENGINE_PROCESS_OPTIONS, lockHolder } from '@mirabelle/engine'
import { alive, aliveSince, startTimeOf, type Clock } from '@mirabelle/runtime'

export interface ProcessExit {
  readonly code: number | null
  readonly signal: string | null
}

export interface WatchedProcess {
  readonly pid: number
  /** Resolves when the process is gone for certain. */
  readonly exited: Promise<ProcessExit>
  kill(signal: 'SIGTERM' | 'SIGKILL'): void
}

/** It has loaded its program, or is about to, and does nothing before it is told to begin. It ends when the agent ends first. */
export interface SpareProcess extends WatchedProcess {
  /** The instance of this start file begins; from then on it outlives the agent. */
  begin(startFile: string): void
}

export interface Processes {
  /** Starts the program of an instance, which outlives the agent; its output is appended to the log. Rejects when the system refuses. */
  spawn(script: string, args: readonly string[], logFile: string): Promise<WatchedProcess>
  /** The same program, to be told its start file later. Absent where that saves nothing. */
  spare?(script: string, args: readonly string[], logFile: string): Promise<SpareProcess>
  /** Pid of the process that holds an instance folder, whether it answers or not; undefined when none does. */
  holderOf(datadir: string): Promise<number | undefined>
  /** Watches a process that another agent started, or undefined when it is gone. */
  adopt(pid: number): WatchedProcess | undefined
}

const ADOPTED_POLL_MS = 50

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    // Gone already is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Resolves when the system has made it. */
function make(
  input: 'ignore' | 'pipe',
  script: string,
  args: readonly string[],
  logFile: string,
): Promise<ChildProcess> {
  const log = openSync(logFile, 'a', 0o600)
  const child = spawn(process.execPath, [...ENGINE_PROCESS_OPTIONS.execArgv, script, ...args], {
    detached: true,
    stdio: [input, log, log],
    env: { ...process.env, ...ENGINE_PROCESS_OPTIONS.env },
  })
  closeSync(log)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('spawn', () => {
      child.unref()
      resolve(child)
    })
  })
}

function watched(child: ChildProcess): WatchedProcess {
  const pid = child.pid as number
  // The number of a process that is gone may belong to another one.
  let gone = false
  const exited = new Promise<ProcessExit>((resolve) => {
    const ended = (code: number | null, signal: NodeJS.Signals | null): void => {
      gone = true
      resolve({ code, signal })
    }
    if (child.exitCode !== null || child.signalCode !== null) ended(child.exitCode, child.signalCode)
    else child.once('exit', ended)
  })
  return {
    pid,
    exited,
    kill: (signal) => {
      if (!gone) kill(pid, signal)
    },
  }
}

export function realProcesses(clock: Clock): Processes {
  return {
    spawn: async (script, args, logFile) => watched(await make('ignore', script, args, logFile)),
    async spare(script, args, logFile) {
      const child = await make('pipe', script, args, logFile)
      const { stdin } = child
      // One that has ended does not read: its exit says so.
      stdin?.on('error', () => undefined)
      return { ...watched(child), begin: (startFile) => stdin?.end(`${startFile}\n`) }
    },
    holderOf: lockHolder,
    adopt(pid) {
      if (!alive(pid)) return undefined
      const startTime = startTimeOf(pid)
      // Its number may belong to another process by the time of a look, or of a kill.
      const isThere = (): boolean => aliveSince(pid, startTime)
      let gone = false
      const exited = new Promise<ProcessExit>((resolve) => {
        const look = () => {
          if (isThere()) clock.setTimer(ADOPTED_POLL_MS, look)
          else {
            gone = true
            resolve({ code: null, signal: null })
          }
        }
        clock.setTimer(ADOPTED_POLL_MS, look)
      })
      return {
        pid,
        exited,
        kill: (signal) => {
          if (!gone && isThere()) kill(pid, signal)
        },
      }
    },
  }
}
