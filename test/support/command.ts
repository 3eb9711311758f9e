/** The `mirabelle` command as a user runs it: a process of its own. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const command = fileURLToPath(new URL('../../packages/cli/bin/mirabelle.js', import.meta.url))

export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The command on the cluster in `dir`; resolves with what it printed and its exit status. */
export function commandOn(dir: string): (...args: string[]) => Promise<Outcome> {
  const env = { ...process.env, MIRABELLE_DIR: dir }
  return (...args) =>
    new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [command, ...args], { env })
      let [stdout, stderr] = ['', '']
      child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
      child.once('error', reject)
      child.once('close', (status) => resolve({ status, stdout, stderr }))
    })
}
