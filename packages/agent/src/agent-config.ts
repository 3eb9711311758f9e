/** The folder of a host: its configuration, the cluster key, the list of its instances. Written by `mirabelle init`, read by the agent. */
import { MirabelleError, type Assignment, type Endpoint } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'

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
  const value = (await readJsonFile(disk, path)) as Partial<AgentConfig> | undefined
  if (value === undefined)
    throw new MirabelleError('datadir.broken', `${path} is missing: run "mirabelle init" first`)
  const texts = [value.clusterId, value.hostname, value.keyFile, value.templateDir, value.logLevel]
  if (
    value.formatVersion !== 1 ||
    texts.some((text) => typeof text !== 'string') ||
    !Number.isSafeInteger(value.listen?.port)
  ) {
    throw new MirabelleError('datadir.broken', `${path} is not the configuration of an agent of this version`)
  }
  return value as AgentConfig
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
