/** A cluster on this machine: simulated hosts, each with its own folder and agent, all on the loopback address. */
import { createServer } from 'node:net'
import { join } from 'node:path'
import { CliError } from '../errors.ts'
import type { ClusterDescription, ClusterPlan, Mirroring, PlacementHost } from '../placement/placement.ts'
import { planCluster } from '../placement/plan-cluster.ts'

export interface LocalOptions {
  /** Folder of the cluster. */
  readonly dir: string
  readonly hosts: number
  readonly segments: number
  readonly mirroring: Mirroring
  readonly standby: boolean
  /** Port of the coordinator for clients; undefined = the first free one from 6432 on; 0 = any free one. */
  readonly port: number | undefined
  /** First port for everything else; undefined = a free range. */
  readonly basePort: number | undefined
}

const LOOPBACK = '127.0.0.1'
export const DEFAULT_PORT = 6432
/** Below the range from which operating systems take the ports of outgoing connections, so that a port that was chosen stays free. */
const FIRST_PORT = 10_000
const LAST_PORT = 32_000
const ATTEMPTS = 50

/** Plans the cluster on ports that are free now. Throws CliError when a port that was asked for is taken. */
export async function planLocalCluster(
  options: LocalOptions,
  pick: (below: number) => number,
): Promise<ClusterPlan> {
  if (options.port !== undefined && options.port !== 0 && !(await isFree(options.port)))
    throw new CliError(`port ${options.port} is in use by another process: choose another one with --port`)
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const basePort = options.basePort ?? FIRST_PORT + pick(LAST_PORT - FIRST_PORT)
    const agents = options.hosts
    const coordinatorPort =
      options.port === 0 ? basePort + agents : (options.port ?? (await firstFree(DEFAULT_PORT)))
    // On one address with the coordinator; what another cluster uses beside a free port must not end the search.
    const standbyPort =
      options.standby && options.port !== 0 ? await firstFree(coordinatorPort + 1) : undefined
    const plan = planCluster(describe(options, basePort, coordinatorPort, standbyPort))
    const taken = await firstTaken(plan)
    if (taken === undefined) return plan
    if (options.basePort !== undefined)
      throw new CliError(`port ${taken} is in use by another process: choose another range with --base-port`)
  }
  throw new CliError('no free range of ports was found: name one with --base-port')
}

function describe(
  options: LocalOptions,
  basePort: number,
  coordinatorPort: number,
  standbyPort: number | undefined,
): ClusterDescription {
  const hosts = Array.from({ length: options.hosts }, (_, i): PlacementHost => {
    const name = `host${i + 1}`
    return {
      name,
      addresses: [LOOPBACK],
      agentPort: basePort + i,
      dataRoot: join(options.dir, name),
      basePort: basePort + options.hosts,
    }
  })
  // With one host there is nowhere else for a mirror: allowed, with a warning.
  return {
    hosts,
    segments: { total: options.segments },
    mirroring: options.mirroring,
    coordinatorPort,
    force: options.hosts === 1,
    ...(options.standby ? { standbyHost: `host${Math.min(2, options.hosts)}` } : {}),
    ...(standbyPort === undefined ? {} : { standbyPort }),
  }
}

async function firstTaken(plan: ClusterPlan): Promise<number | undefined> {
  const ports = [
    ...plan.hosts.map(({ agent }) => agent.port),
    ...plan.rows.flatMap((row) => [row.port, row.endpoint.port]),
  ]
  for (const port of new Set(ports)) if (!(await isFree(port))) return port
  return undefined
}

async function firstFree(from: number): Promise<number> {
  for (let port = from; port < Math.min(from + 1000, 65_536); port += 1) if (await isFree(port)) return port
  throw new CliError(`no port from ${from} on is free: name one with --port`)
}

/** True when nobody listens on the port now. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
