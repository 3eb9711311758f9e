/** The folder of a host's agent, as far as the command line writes it. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { configFile, type AgentConfig } from '@mirabelle/agent/facts'
import { realDisk } from '@mirabelle/runtime'
import type { HostEntry } from '../folder/cluster-file.ts'
import type { ClusterFolder } from '../folder/cluster-folder.ts'
import { templateDir } from '../folder/template-cache.ts'

/** Makes the folder of a simulated host, and its agent's configuration. */
export async function prepareLocalHost(folder: ClusterFolder, host: HostEntry): Promise<void> {
  await mkdir(host.dir, { recursive: true, mode: 0o700 })
  const keyFile = join(folder.dir, folder.file.keyFile)
  const config = agentConfig(folder, host, keyFile, await templateDir(folder.dir))
  await realDisk.writeFileDurable(configFile(host.dir), `${JSON.stringify(config, null, 2)}\n`)
}

/** The configuration of a host's agent. */
export function agentConfig(
  folder: ClusterFolder,
  host: HostEntry,
  keyFile: string,
  templates: string,
): AgentConfig {
  const { encryption, certificates } = folder.file.transport ?? { encryption: 'auto' }
  return {
    formatVersion: 1,
    clusterId: folder.file.clusterId,
    hostname: host.name,
    listen: { addresses: host.addresses, port: host.agentPort },
    keyFile,
    templateDir: templates,
    logLevel: process.env['MIRABELLE_LOG_LEVEL'] ?? 'info',
    encryption,
    ...(certificates === undefined ? {} : { certificates }),
  }
}
