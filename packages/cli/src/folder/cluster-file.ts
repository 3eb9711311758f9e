/**
 * `cluster.json` in a cluster's folder: what the command line must know to reach a cluster when nothing of it runs. The catalog in the
 * coordinator is the truth about roles; this file only says where everything is, and which instance of content -1 was the
 * coordinator when the command line last looked.
 */
import type { Endpoint, Epoch, Dbid, SegmentRow } from '@mirabelle/messages'
import type { Mirroring } from '../placement/placement.ts'
import type { CertificateFiles } from '@mirabelle/runtime'
// Every command reads this file first: zod's older interface has a tenth of the modules, which is 0.06 s of CPU each time.
import { z } from 'zod/v3'
import { CliError } from '../errors.ts'

/** A host as the command line reaches it. */
export interface HostEntry {
  readonly name: string
  readonly addresses: readonly string[]
  readonly agentPort: number
  /** The folder of the host's agent, on that host. */
  readonly dir: string
}

/** How far the making of the cluster has come: `init` goes on where an interrupted one ended. */
export type ClusterProgress = 'planned' | 'creating' | 'ready'

/** How the processes of a cluster encrypt what they say to each other. */
export interface Transport {
  /** `auto`: between hosts, not on loopback; `always`. */
  readonly encryption: 'auto' | 'always'
  /** Instead of a key that is derived from the cluster key. */
  readonly certificates?: CertificateFiles | undefined
}

export interface ClusterFile {
  readonly formatVersion: 1
  readonly clusterId: string
  /** ISO 8601. */
  readonly createdAt: string
  readonly progress: ClusterProgress
  /** All hosts are this machine: the command line may start agents and delete folders itself. */
  readonly local: boolean
  readonly mirroring: Mirroring
  readonly settings: Readonly<Record<string, string>>
  /** `auto` when left out. */
  readonly transport?: Transport | undefined
  /** The file with the cluster key, relative to the cluster's folder. */
  readonly keyFile: string
  readonly hosts: readonly HostEntry[]
  /** Every instance as planned; where they are stays true, roles may have changed since. */
  readonly rows: readonly SegmentRow[]
  readonly coordinatorDbid: Dbid
  readonly standbyDbid: Dbid | null
  /** An activation of this instance has begun and its end is not recorded. */
  readonly activatingDbid: Dbid | null
  /** A `standby init` of this instance has begun and its end is not recorded. */
  readonly makingStandbyDbid?: Dbid | null | undefined
  /** A `standby remove` of this instance has begun and its end is not recorded. */
  readonly removingStandbyDbid?: Dbid | null | undefined
  /** A `mirrors add` has begun and its end is not recorded. */
  readonly addingMirrors?: boolean | undefined
  /** Highest epoch seen. */
  readonly epoch: Epoch
  /** The catalog in the coordinator has been written. */
  readonly initialised: boolean
}

const address = z.array(z.string().min(1)).min(1)
const port = z.number().int().min(1).max(65_535)
const role = z.enum(['p', 'm'])

const shape = z.object({
  formatVersion: z.literal(1),
  clusterId: z.string().min(1),
  createdAt: z.string(),
  progress: z.enum(['planned', 'creating', 'ready']),
  local: z.boolean(),
  mirroring: z.enum(['group', 'spread', 'none']),
  settings: z.record(z.string(), z.string()),
  transport: z
    .object({
      encryption: z.enum(['auto', 'always']),
      certificates: z.object({ certFile: z.string(), keyFile: z.string(), caFile: z.string() }).optional(),
    })
    .optional(),
  keyFile: z.string().min(1),
  hosts: z.array(z.object({ name: z.string(), addresses: address, agentPort: port, dir: z.string() })).min(1),
  rows: z.array(
    z.object({
      dbid: z.number().int().min(1),
      content: z.number().int().min(-1),
      role,
      preferredRole: role,
      mode: z.enum(['s', 'n']),
      status: z.enum(['u', 'd']),
      port,
      hostname: z.string(),
      address: z.string(),
      datadir: z.string(),
      endpoint: z.object({ addresses: address, port }),
    }),
  ),
  coordinatorDbid: z.number().int(),
  standbyDbid: z.number().int().nullable(),
  activatingDbid: z.number().int().nullable(),
  makingStandbyDbid: z.number().int().nullable().optional(),
  removingStandbyDbid: z.number().int().nullable().optional(),
  addingMirrors: z.boolean().optional(),
  epoch: z.number().int().min(0),
  initialised: z.boolean(),
})

/** Understands the text of a `cluster.json`. Throws CliError with the first thing that is wrong. */
export function parseClusterFile(path: string, text: string): ClusterFile {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new CliError(`${path} is not valid JSON: restore it from a backup`, { cause: error })
  }
  const parsed = shape.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new CliError(
    `${path} is not the description of a cluster that this version reads: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`,
  )
}

/** Where the agent of a host listens. */
export function agentEndpoint(host: HostEntry): Endpoint {
  return { addresses: host.addresses, port: host.agentPort }
}
