/**
 * Runs `role_change_command` in a process group of its own: by the shell, with role, host and port as arguments. Started by an instance of content -1;
 * ends by itself, is killed after a time limit while its instance lives, and outlives an instance that ends. What it prints goes to a file.
 */
import { spawn } from 'node:child_process'
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import type { RoleChangeFacts, RoleChangeRun } from '@mirabelle/coordinator'
import type { Clock } from '@mirabelle/runtime'

/** A program that moves an address needs a second or two. */
export const ROLE_CHANGE_LIMIT_MS = 30_000
/** What programs printed is kept up to this size, bytes. */
const OUTPUT_LIMIT = 1024 * 1024

export interface RoleChangeSurroundings {
  readonly clock: Clock
  /** What the program prints is appended to this file. */
  readonly outputFile: string
  readonly limitMs?: number | undefined
}

/** Starts it. Throws when the file cannot be opened; what the shell makes of the command is told by `ended`. */
export function runRoleChangeCommand(
  command: string,
  facts: RoleChangeFacts,
  { clock, outputFile, limitMs = ROLE_CHANGE_LIMIT_MS }: RoleChangeSurroundings,
): RoleChangeRun {
  const output = openOutput(outputFile)
  try {
    // The arguments are the shell's own, never part of its text: a name can hold anything.
    const args = ['-c', `${command} "$@"`, 'role_change_command', facts.role, facts.host, String(facts.port)]
    const child = spawn('/bin/sh', args, {
      detached: true,
      stdio: ['ignore', output, output],
      env: { ...process.env, ...environment(facts) },
    })
    child.unref()
    let wasKilled = ''
    const kill = (why: string): void => {
      wasKilled ||= why
      killGroup(child.pid)
    }
    const timer = clock.setTimer(limitMs, () => kill(`killed after ${limitMs} ms`))
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(`it could not be started: ${error.message}`))
      child.once('exit', (code, signal) => {
        if (wasKilled !== '') resolve(wasKilled)
        else resolve(code === null ? `ended by ${signal ?? 'a signal'}` : `exit status ${code}`)
      })
    })
    void ended.then(() => timer.clear())
    return { ended, kill: () => kill('killed: another role was taken up') }
  } finally {
    closeSync(output)
  }
}

function environment(facts: RoleChangeFacts): Record<string, string> {
  return {
    MIRABELLE_ROLE: facts.role,
    MIRABELLE_HOST: facts.host,
    MIRABELLE_ADDRESS: facts.address,
    MIRABELLE_PORT: String(facts.port),
    MIRABELLE_DBID: String(facts.dbid),
    MIRABELLE_EPOCH: String(facts.epoch),
    MIRABELLE_CLUSTER_ID: facts.clusterId,
  }
}

function openOutput(file: string): number {
  mkdirSync(dirname(file), { recursive: true })
  const output = openSync(file, 'a', 0o600)
  if (fstatSync(output).size > OUTPUT_LIMIT) ftruncateSync(output)
  return output
}

/** The shell and everything that it started. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    // Gone already is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
