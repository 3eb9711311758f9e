/** A cluster of real hosts, described in a YAML file: read, checked, and every mistake named with its path and its line. */
import { join } from 'node:path'
import { parseSetting, settingsCatalog, type SettingName } from '@mirabelle/messages'
import { isNode, LineCounter, parseDocument, type Document } from 'yaml'
import { z } from 'zod'
import { CliError } from '../errors.ts'
import type { Transport } from '../folder/cluster-file.ts'
import type { ClusterDescription, Mirroring } from '../placement/placement.ts'

const MOST_ALIASES = 100
/** Characters of a path that a complaint shows. */
const MOST_SHOWN = 80
const port = z.number().int().min(1).max(65_535)
const hostShape = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'must be a host name'),
  /** One for each network of the host. */
  addresses: z.array(z.string().min(1)).min(1).max(16),
  agent_port: port.default(7000),
  /** Folder of the host's agent and of its instances. */
  dir: z.string().startsWith('/', 'must be an absolute path'),
  /** First port of the host's instances. */
  base_port: port.default(7001),
  /** false: no segments on this host. */
  segments: z.boolean().default(true),
})

const absolute = z.string().startsWith('/', 'must be an absolute path')

const fileShape = z.strictObject({
  cluster: z.strictObject({
    port: port.default(6432),
    standby_port: port.optional(),
    coordinator: z.string().optional(),
    standby: z.union([z.string(), z.literal(false)]).default(false),
    mirroring: z.enum(['group', 'spread', 'none']).default('group'),
    segments: z.number().int().min(1).optional(),
    segments_per_host: z.number().int().min(1).optional(),
    encryption: z.enum(['auto', 'always']).default('auto'),
    /** The same paths on all hosts. */
    certificates: z.strictObject({ cert: absolute, key: absolute, ca: absolute }).optional(),
    settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
  }),
  hosts: z.array(hostShape).min(1),
})

/** What the file says. */
export interface DescribedCluster {
  readonly description: ClusterDescription
  readonly mirroring: Mirroring
  readonly settings: Readonly<Record<string, string>>
  readonly hostDirs: ReadonlyMap<string, string>
  readonly transport: Transport
}

interface Complaint {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

/** Reads the text of the file. Throws CliError with a line for every mistake: `cluster.yaml:12: hosts.1.dir: …`. */
export function parseClusterYaml(fileName: string, text: string): DescribedCluster {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, logLevel: 'error' })
  const broken = document.errors[0]
  if (broken !== undefined)
    throw new CliError(
      `${fileName}:${lines.linePos(broken.pos[0]).line}: ${broken.message.split('\n')[0] ?? ''}`,
    )
  const parsed = fileShape.safeParse(valueOf(fileName, document))
  const complain = (complaints: readonly Complaint[]): never => {
    throw new CliError(
      complaints
        .map(({ path, message }) => {
          // A key of YAML may be a whole tree.
          const name = path.map(String).join('.').replace(/\s+/g, ' ').slice(0, MOST_SHOWN)
          return `${fileName}:${lineOf(document, lines, path)}: ${name === '' ? 'the file' : name}: ${message}`
        })
        .join('\n'),
    )
  }
  if (!parsed.success) return complain(parsed.error.issues.map(issueOf))
  const { cluster, hosts } = parsed.data
  const complaints = [
    ...countComplaints(cluster),
    ...hostComplaints(parsed.data),
    ...settingComplaints(cluster.settings),
  ]
  if (complaints.length > 0) complain(complaints)
  return {
    mirroring: cluster.mirroring,
    settings: settingTexts(cluster.settings),
    transport: transportOf(cluster),
    hostDirs: new Map(hosts.map(({ name, dir }) => [name, dir])),
    description: {
      hosts: hosts.map((host) => ({
        name: host.name,
        addresses: host.addresses,
        agentPort: host.agent_port,
        dataRoot: join(host.dir),
        basePort: host.base_port,
        segments: host.segments,
      })),
      segments:
        cluster.segments === undefined
          ? { perHost: cluster.segments_per_host ?? 1 }
          : { total: cluster.segments },
      mirroring: cluster.mirroring,
      coordinatorPort: cluster.port,
      ...(cluster.coordinator === undefined ? {} : { coordinatorHost: cluster.coordinator }),
      ...(cluster.standby === false ? {} : { standbyHost: cluster.standby }),
      ...(cluster.standby_port === undefined ? {} : { standbyPort: cluster.standby_port }),
    },
  }
}

/** Aliases that refer to each other could unfold to more than there is memory for: the library counts them, and refuses. */
function valueOf(fileName: string, document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: MOST_ALIASES }) as unknown
  } catch (error) {
    throw new CliError(`${fileName}:1: ${(error as Error).message}`, { cause: error })
  }
}

type Parsed = z.infer<typeof fileShape>

/** zod names an unknown key in the message only; here its own line is wanted. */
function issueOf(issue: z.core.$ZodIssue): Complaint {
  if (issue.code === 'unrecognized_keys')
    return { path: [...issue.path, issue.keys[0] ?? ''], message: 'is not known here' }
  return { path: issue.path, message: issue.message }
}

function countComplaints(cluster: Parsed['cluster']): Complaint[] {
  return cluster.segments !== undefined && cluster.segments_per_host !== undefined
    ? [{ path: ['cluster', 'segments_per_host'], message: 'give segments or segments_per_host, not both' }]
    : []
}

function hostComplaints({ cluster, hosts }: Parsed): Complaint[] {
  const names = hosts.map(({ name }) => name)
  const complaints: Complaint[] = []
  names.forEach((name, i) => {
    if (names.indexOf(name) !== i)
      complaints.push({ path: ['hosts', i, 'name'], message: `host ${name} is named twice` })
  })
  for (const key of ['coordinator', 'standby'] as const) {
    const name = cluster[key]
    if (typeof name === 'string' && !names.includes(name))
      complaints.push({
        path: ['cluster', key],
        message: `there is no host ${name}; the hosts are ${names.join(', ')}`,
      })
  }
  return complaints
}

function settingComplaints(settings: Parsed['cluster']['settings']): Complaint[] {
  const complaints: Complaint[] = []
  for (const [name, value] of Object.entries(settings)) {
    const path = ['cluster', 'settings', name]
    if (!Object.hasOwn(settingsCatalog, name)) {
      complaints.push({ path, message: 'there is no setting of this name' })
      continue
    }
    try {
      parseSetting(name as SettingName, String(value))
    } catch (error) {
      complaints.push({ path, message: (error as Error).message })
    }
  }
  return complaints
}

function transportOf({ encryption, certificates }: Parsed['cluster']): Transport {
  if (certificates === undefined) return { encryption }
  const { cert, key, ca } = certificates
  return { encryption, certificates: { certFile: cert, keyFile: key, caFile: ca } }
}

function settingTexts(settings: Parsed['cluster']['settings']): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)]))
}

/** The line of the deepest part of the path that the file has. */
function lineOf(document: Document, lines: LineCounter, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length -= 1) {
    const node = document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range !== null && node.range !== undefined)
      return lines.linePos(node.range[0]).line
  }
  return 1
}
