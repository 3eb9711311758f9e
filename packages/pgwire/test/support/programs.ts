import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import type { FrontDoor } from '@mirabelle/pgwire'

export interface Finished {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** True if the program is installed and answers `--version` (or `version`, as openssl wants it). */
export function isInstalled(program: string): boolean {
  return ['--version', 'version'].some((flag) => spawnSync(program, [flag]).status === 0)
}

/** Starts psql against the door without reading any psqlrc; `finished` resolves when it has ended. */
export function psql(
  door: FrontDoor,
  args: readonly string[],
  { env = {}, input }: { env?: Record<string, string>; input?: string } = {},
): { child: ChildProcess; finished: Promise<Finished> } {
  const { host, port } = door.address
  const child = spawn('psql', ['-X', '-A', '-t', ...args], {
    env: {
      PATH: process.env['PATH'],
      PGHOST: host,
      PGPORT: String(port),
      PGUSER: 'u',
      PGDATABASE: 'postgres',
      ...env,
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  child.stdin.end(input)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const finished = new Promise<Finished>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (status) => resolve({ status, stdout, stderr }))
  })
  return { child, finished }
}
