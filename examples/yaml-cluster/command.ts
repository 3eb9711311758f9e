/** The `mirabelle` command as a script calls it: each call is printed with what it says, a failure ends the script. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const script = join(
  dirname(fileURLToPath(import.meta.resolve('mirabelle/package.json'))),
  'bin',
  'mirabelle.js',
)

/** Runs it to its end; the output goes to this process. Rejects when the exit status is not 0. */
export async function mirabelle(...args: string[]): Promise<void> {
  process.stdout.write(`\n$ mirabelle ${args.join(' ')}\n`)
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'inherit', 'inherit'] })
  const [status, signal] = (await once(child, 'exit')) as [number | null, string | null]
  if (status !== 0) throw new Error(`mirabelle ${args[0]} ended with ${signal ?? `status ${status}`}`)
}

/** Starts the agent of a host. In a session of its own, so that Ctrl-C lets the script clean up with its help. */
export function startAgent(dir: string): ChildProcess {
  process.stdout.write(`\n$ mirabelle agent --dir ${dir} &\n`)
  return spawn(process.execPath, [script, 'agent', '--dir', dir], {
    stdio: ['ignore', 'ignore', 'inherit'],
    detached: true,
  })
}

/** Ends an agent; resolves when it is gone. */
export async function endAgent(agent: ChildProcess): Promise<void> {
  if (agent.exitCode !== null || agent.signalCode !== null) return
  const gone = once(agent, 'exit')
  agent.kill('SIGTERM')
  await gone
}
