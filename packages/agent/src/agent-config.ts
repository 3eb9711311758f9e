/** The folder of a host: its configuration, the cluster key, the list of its instances. Written by `mirabelle init`, read by the agent. */
import {
  isAssignment,
  isMirabelleError,
  MirabelleError,
  type Assignment,
  type Endpoint,
} from '@mirabelle/messages'
import type { CertificateFiles, Disk } from '@mirabelle/runtime'

/** `agent.json` in the folder of a host. */
export interface AgentConfig {
  readonly formatVersion: 1
  readonly clusterId: string
  readonly hostname: string
  readonly listen: Endpoint
  /** File that holds the cluster key (mode 0600). */
  readonly keyFile: string
  /** Folder in which templates of data directories are cached. */
  readonly templateDir: string
  readonly logLevel: string
  /** `auto`: off on loopback, on between hosts; `always`. */
  readonly encryption: 'auto' | 'always'
  /** Certificates instead of a key that is derived from the cluster key, for encryption. */
  readonly certificates?: CertificateFiles
}

/** One instance as the agent remembers it over restarts. */
export interface KnownInstance {
  readonly assignment: Assignment
  /** It ran when this was written, and was not told to stop: after a reboot it is to run again. */
  readonly wanted: boolean
}

export const configFile = (dir: string): string => `${dir}/agent.json`
export const instancesFile = (dir: string): string => `${dir}/instances.json`
export const pidFile = (dir: string): string => `${dir}/agent.pid`
export const agentLogFile = (dir: string): string => `${dir}/agent.log`
/** Log of an instance, beside its folder's content. */
export const instanceLogFile = (datadir: string): string => `${datadir}/instance.log`

/** Reads `agent.json`. Rejects with `datadir.broken` when it is missing or no configuration. */
export async function readAgentConfig(disk: Disk, dir: string): Promise<AgentConfig> {
  const path = configFile(dir)
  const value = (await readJsonFile(disk, path)) as Partial<AgentConfig> | null | undefined
  if (value === undefined)
    throw new MirabelleError('datadir.broken', `${path} is missing: run "mirabelle init" first`)
  if (value === null) throw new MirabelleError('datadir.broken', `${path} holds nothing`)
  const texts = [value.clusterId, value.hostname, value.keyFile, value.templateDir, value.logLevel]
  if (
    value.formatVersion !== 1 ||
    texts.some((text) => typeof text !== 'string') ||
    !isEndpoint(value.listen) ||
    (value.encryption !== 'auto' && value.encryption !== 'always') ||
    !(value.certificates === undefined || areCertificates(value.certificates))
  ) {
    throw new MirabelleError('datadir.broken', `${path} is not the configuration of an agent of this version`)
  }
  return value as AgentConfig
}

function areCertificates(value: unknown): boolean {
  const { certFile, keyFile, caFile } = (value ?? {}) as Partial<CertificateFiles>
  return [certFile, keyFile, caFile].every((file) => typeof file === 'string' && file !== '')
}

/** How the processes of the host speak with others, for the network. */
export function transportOf({
  encryption,
  certificates,
}: AgentConfig): Pick<AgentConfig, 'encryption' | 'certificates'> {
  return certificates === undefined ? { encryption } : { encryption, certificates }
}

function isEndpoint(value: unknown): value is Endpoint {
  const { addresses, port } = (value ?? {}) as Partial<Endpoint>
  return (
    Array.isArray(addresses) &&
    addresses.length > 0 &&
    addresses.every((address) => typeof address === 'string' && address !== '') &&
    Number.isSafeInteger(port) &&
    (port as number) >= 0 &&
    (port as number) <= 65_535
  )
}

/** The instances that `instances.json` lists; none when it is not there. Rejects with `datadir.broken`, and what to do, when it cannot be understood. */
export async function readKnownInstances(disk: Disk, dir: string): Promise<readonly KnownInstance[]> {
  const path = instancesFile(dir)
  const broken = (why: string, cause?: unknown): MirabelleError =>
    new MirabelleError(
      'datadir.broken',
      `${why}: move it away, start the agent again and run "mirabelle start", which names its instances anew; those that run go on`,
      { cause },
    )
  const value = await readJsonFile(disk, path).catch((error: unknown) => {
    throw isMirabelleError(error, 'datadir.broken') ? broken(error.message, error) : error
  })
  if (value === undefined) return []
  if (!Array.isArray(value) || !value.every(isKnown)) throw broken(`${path} is not a list of instances`)
  return value
}

function isKnown(value: unknown): value is KnownInstance {
  const known = (value ?? {}) as Partial<KnownInstance>
  return isAssignment(known.assignment) && typeof known.wanted === 'boolean'
}

/** The assignment in a file. Rejects with `datadir.broken` when it is missing or is none. */
export async function readAssignment(disk: Disk, path: string): Promise<Assignment> {
  const value = await readJsonFile(disk, path)
  if (value === undefined) throw new MirabelleError('datadir.broken', `${path} is missing`)
  if (!isAssignment(value)) throw new MirabelleError('datadir.broken', `${path} does not hold an assignment`)
  return value
}

/** A JSON file, or undefined when it is not there. Rejects with `datadir.broken` when it is no JSON. */
export async function readJsonFile(disk: Disk, path: string): Promise<unknown> {
  if (!(await disk.exists(path))) return undefined
  const text = Buffer.from(await disk.readFile(path)).toString('utf8')
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new MirabelleError('datadir.broken', `${path} is not valid JSON`, { cause: error })
  }
}
