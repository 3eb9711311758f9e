/** The `mirabelle` command as the benches run it. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const command = fileURLToPath(new URL('../../packages/cli/bin/mirabelle.js', import.meta.url))
/** Clock ticks a second in /proc/<pid>/stat: 100 on every Linux that Node runs on. */
const TICKS = 100

/** The command as a process of its own, with the processor time that it took, s. Rejects unless it did all of what it was asked for. */
export async function run(dir, args) {
  const child = spawn(process.execPath, [command, ...args, '--dir', dir], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (bytes) => (stdout += bytes.toString()))
  child.stderr.on('data', (bytes) => (stderr += bytes.toString()))
  let cpu = 0
  const look = setInterval(() => (cpu = cpuOfProcess(child.pid) ?? cpu), 20)
  const status = await new Promise((resolve) => child.once('close', resolve))
  clearInterval(look)
  if (status !== 0) throw new Error(`mirabelle ${args.join(' ')} ended with ${status}: ${stdout}${stderr}`)
  return { cpu, stdout }
}

/** Processor time of a process so far, s; undefined when it has ended, or where the system has no /proc. */
export function cpuOfProcess(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / TICKS
  } catch {
    return undefined
  }
}
