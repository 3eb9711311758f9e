/**
 * Makes a cluster: its folder, its key, the agents' configurations and every data directory. Each step may find that an interrupted
 * run has done it already.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { bootstrapSql } from '@mirabelle/coordinator'
import { createTemplate } from '@mirabelle/engine'
import { CliError } from '../errors.ts'
import { ClusterFolder } from '../folder/cluster-folder.ts'
import type { ClusterFile, HostEntry, Transport } from '../folder/cluster-file.ts'
import { templateDir } from '../folder/template-cache.ts'
import type { ClusterPlan, Mirroring } from '../placement/placement.ts'
import { onInterrupt } from '../terminal/interrupt.ts'
import type { Reporter } from '../terminal/reporter.ts'
import { askAgent, ensureAgents, requireAgents, endAgents } from './agents.ts'
import { prepareLocalHost } from './agent-folder.ts'
import { assignmentOf } from './assignments.ts'
import { withFolder, type Cluster } from './cluster.ts'

const KEY_BYTES = 32
const KEY_FILE = 'cluster.key'
/** Making a template runs initdb; on a busy machine that takes its time. */
const CREATE_MS = 180_000

export interface NewCluster {
  readonly dir: string
  readonly plan: ClusterPlan
  /** The folder of each host's agent, by host name. */
  readonly hostDirs: ReadonlyMap<string, string>
  /** `auto` by default. */
  readonly transport?: Transport
  readonly local: boolean
  readonly mirroring: Mirroring
  readonly settings: Readonly<Record<string, string>>
}

/** Writes the folder of a new cluster: its description and its key. Nothing is contacted. */
export async function planFolder(wanted: NewCluster): Promise<ClusterFolder> {
  await mkdir(wanted.dir, { recursive: true, mode: 0o700 })
  await writeKey(join(wanted.dir, KEY_FILE), randomBytes(KEY_BYTES))
  return ClusterFolder.create(wanted.dir, describe(wanted))
}

function describe({ plan, hostDirs, transport, local, mirroring, settings }: NewCluster): ClusterFile {
  const standby = plan.rows.find((row) => row.content === -1 && row.role === 'm')
  const coordinator = plan.rows.find((row) => row.content === -1 && row.role === 'p')
  if (coordinator === undefined) throw new CliError('the plan has no coordinator')
  return {
    formatVersion: 1,
    clusterId: randomUUID(),
    createdAt: new Date().toISOString(),
    progress: 'planned',
    local,
    mirroring,
    settings,
    ...(transport === undefined ? {} : { transport }),
    keyFile: KEY_FILE,
    hosts: plan.hosts.map(({ hostname, agent }): HostEntry => {
      return {
        name: hostname,
        addresses: agent.addresses,
        agentPort: agent.port,
        dir: hostDirs.get(hostname) ?? '',
      }
    }),
    rows: plan.rows,
    coordinatorDbid: coordinator.dbid,
    standbyDbid: standby?.dbid ?? null,
    activatingDbid: null,
    epoch: 1,
    initialised: false,
  }
}

/** Readable by nobody else, from its first moment on. A key that is there is kept: a plan was interrupted before it was written down. */
async function writeKey(path: string, key: Uint8Array): Promise<void> {
  try {
    await writeFile(path, key, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/**
 * Makes all data directories of the cluster that the folder describes. When it resolves, nothing runs that did not run before, but for the agents when `thenStarts`
 * says that the cluster is started next; when it rejects, nothing at all.
 */
export async function makeInstances(
  folder: ClusterFolder,
  reporter: Reporter,
  { thenStarts }: { readonly thenStarts: boolean },
): Promise<void> {
  await folder.update({ progress: 'creating' })
  if (folder.file.local) await prepareLocalHosts(folder, reporter)
  const cluster = await withFolder(folder, reporter)
  const { answers, started } = await ensureAgents(cluster)
  const takeBack = onInterrupt(() => endAgents(cluster, started, 'immediate'))
  let keepAgents = false
  try {
    requireAgents(answers)
    reporter.say(`Creating ${folder.file.rows.length} instances`)
    await Promise.all(folder.file.hosts.map((host) => makeInstancesOf(cluster, host)))
    keepAgents = thenStarts
  } finally {
    takeBack()
    if (!keepAgents) await endAgents(cluster, started, 'fast')
  }
  await folder.update({ progress: 'ready' })
}

async function makeInstancesOf(cluster: Cluster, host: HostEntry): Promise<void> {
  const { folder } = cluster
  for (const row of folder.file.rows.filter(({ hostname }) => hostname === host.name)) {
    const assignment = assignmentOf(folder, row, row.role)
    // All copies of a content begin as the same template, so a mirror needs nothing but the WAL that follows.
    const message = {
      type: 'agent.create',
      assignment,
      clusterId: folder.file.clusterId,
      from: 'template',
    } as const
    try {
      await askAgent(cluster, host, message, CREATE_MS)
    } catch (error) {
      throw new CliError(`dbid ${row.dbid} could not be made on ${host.name}: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }
}

async function prepareLocalHosts(folder: ClusterFolder, reporter: Reporter): Promise<void> {
  const templates = await templateDir(folder.dir)
  reporter.say('Preparing the template of a data directory (made once, then kept)')
  await createTemplate({ cacheDir: templates, bootstrapSql })
  for (const host of folder.file.hosts) await prepareLocalHost(folder, host)
}
