/**
 * `cluster.json` in a cluster's folder: what the command line must know to reach a cluster when nothing of it runs. The catalog in the
 * coordinator is the truth about roles; this file only says where everything is, and which instance of content -1 was the
 * coordinator when the command line last looked.
 */
import type { Endpoint, Epoch, Dbid, SegmentRow } from '@mirabelle/messages'
import type { Mirroring } from '../placement/placement.ts'
import type { CertificateFiles } from '@mirabelle/runtime'
import { CliError } from '../errors.ts'
import {
  fields,
  flag,
  listOf,
  namesTo,
  nullable,
  oneOf,
  optional,
  text,
  whole,
  words,
  type Check,
} from './file-shape.ts'

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

const addresses = listOf(words, 1)
const port = whole(1, 65_535)
const role = oneOf('p', 'm')

const host = {
  name: text,
  addresses,
  agentPort: port,
  dir: text,
} satisfies Readonly<Record<keyof HostEntry, Check>>

const row = {
  dbid: whole(1),
  content: whole(-1),
  role,
  preferredRole: role,
  mode: oneOf('s', 'n'),
  status: oneOf('u', 'd'),
  port,
  hostname: text,
  address: text,
  datadir: text,
  endpoint: fields({ addresses, port }),
} satisfies Readonly<Record<keyof SegmentRow, Check>>

const file = {
  formatVersion: oneOf(1),
  clusterId: words,
  createdAt: text,
  progress: oneOf('planned', 'creating', 'ready'),
  local: flag,
  mirroring: oneOf('group', 'spread', 'none'),
  settings: namesTo(text),
  transport: optional(
    fields({
      encryption: oneOf('auto', 'always'),
      certificates: optional(fields({ certFile: text, keyFile: text, caFile: text })),
    }),
  ),
  keyFile: words,
  hosts: listOf(fields(host), 1),
  rows: listOf(fields(row)),
  coordinatorDbid: whole(),
  standbyDbid: nullable(whole()),
  activatingDbid: nullable(whole()),
  makingStandbyDbid: optional(nullable(whole())),
  removingStandbyDbid: optional(nullable(whole())),
  addingMirrors: optional(flag),
  epoch: whole(0),
  initialised: flag,
} satisfies Readonly<Record<keyof ClusterFile, Check>>

const shape = fields(file)

/** Understands the text of a `cluster.json`. Throws CliError with the first thing that is wrong. */
export function parseClusterFile(path: string, text: string): ClusterFile {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new CliError(`${path} is not valid JSON: restore it from a backup`, { cause: error })
  }
  const problem = shape(value, '')
  if (problem !== undefined)
    throw new CliError(`${path} is not the description of a cluster that this version reads: ${problem}`)
  return value as ClusterFile
}

/** Where the agent of a host listens. */
export function agentEndpoint(host: HostEntry): Endpoint {
  return { addresses: host.addresses, port: host.agentPort }
}
