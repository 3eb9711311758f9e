/** The `mirabelle` command as a process of its own: run to its end, or killed at a fault point or a moment. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { FAULTS_VARIABLE } from '@mirabelle/runtime'

const script = fileURLToPath(new URL('../../../cli/bin/mirabelle.js', import.meta.url))

export interface CommandEnd {
  /** null when it was killed. */
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
  readonly tookMs: number
  /** It did not end within its limit and was killed for that. */
  readonly hung: boolean
}

export interface RunningCommand {
  readonly ended: Promise<CommandEnd>
  kill(): void
}

/** Starts it on the cluster in `dir`; `faults` are set in it beside those of this process's environment. */
export function startCommand(
  dir: string,
  args: readonly string[],
  limitMs: number,
  faults = '',
): RunningCommand {
  const inherited = process.env[FAULTS_VARIABLE] ?? ''
  const child = spawn(process.execPath, [script, ...args, '--dir', dir], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, [FAULTS_VARIABLE]: `${inherited};${faults}` },
  })
  const beganAt = performance.now()
  let [stdout, stderr, hung] = ['', '', false]
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const limit = setTimeout(() => {
    hung = true
    child.kill('SIGKILL')
  }, limitMs)
  return {
    kill: () => child.kill('SIGKILL'),
    ended: new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (status) => {
        clearTimeout(limit)
        resolve({ status, stdout, stderr, hung, tookMs: Math.round(performance.now() - beganAt) })
      })
    }),
  }
}

/** The last thing that it said. */
export function lastWords({ stdout, stderr }: CommandEnd): string {
  const lines = `${stdout}\n${stderr}`.split('\n').map((line) => line.trim())
  return lines
    .filter((line) => line !== '' && !/^-+$/.test(line))
    .slice(-6)
    .join(' / ')
}
