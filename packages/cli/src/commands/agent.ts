/** `mirabelle agent` and `mirabelle agent-config`: for clusters on real hosts. */
import { cp, mkdir } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { agentScript, configFile } from '@mirabelle/agent/facts'
import { bootstrapSql } from '@mirabelle/coordinator'
import { createTemplate } from '@mirabelle/engine'
import { realDisk } from '@mirabelle/runtime'
import { agentConfig } from '../cluster/agent-folder.ts'
import { ClusterFolder } from '../folder/cluster-folder.ts'
import { templateDir } from '../folder/template-cache.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import { plan } from './init.ts'
import { dirOf, dirOption, type DirOption } from './options.ts'

export function addAgent(program: Command): void {
  program
    .command('agent')
    .description('run the agent of this host in the foreground')
    .requiredOption('--dir <folder>', 'folder of the host, which holds agent.json')
    .action(async (options: { readonly dir: string }) => {
      // The agent is a program of its own; it takes this process over, signals included.
      process.removeAllListeners('SIGINT').removeAllListeners('SIGTERM').removeAllListeners('SIGHUP')
      process.argv = [process.execPath, agentScript.href, '--dir', resolve(options.dir)]
      await import(agentScript.href)
    })
}

export function addAgentConfig(program: Command): void {
  program
    .command('agent-config')
    .description('write the folders that the hosts of a YAML file need before their agents can start')
    .requiredOption('-f, --file <yaml>', 'the file that describes the cluster')
    .addOption(dirOption())
    .action(async (options: DirOption & { readonly file: string }) => {
      const reporter = terminalReporter()
      const dir = dirOf(options)
      const defaults = { hosts: 1, segments: 1, mirroring: 'none', standby: false, set: {} } as const
      const folder =
        (await ClusterFolder.find(dir)) ?? (await plan(dir, { ...defaults, file: options.file }, reporter))
      for (const line of await writeAgentFolders(folder)) reporter.print(line)
      reporter.print(`Then make the cluster with: mirabelle init -f ${options.file} --dir ${dir}`)
    })
}

/**
 * Writes `agents/HOST/agent.json`, and beside it the key and the template of a data directory; resolves with what is to be done with them.
 * All hosts get one template: initdb gives each run an identity of its own, and a mirror can follow only a primary of the same one.
 */
async function writeAgentFolders(folder: ClusterFolder): Promise<string[]> {
  const template = await createTemplate({ cacheDir: await templateDir(folder.dir), bootstrapSql })
  const lines = ['Copy each folder to its host, keep the key secret, and start the agent there:']
  for (const host of folder.file.hosts) {
    const here = join(folder.dir, 'agents', host.name)
    await mkdir(here, { recursive: true, mode: 0o700 })
    const config = agentConfig(folder, host, join(host.dir, 'cluster.key'), join(host.dir, 'templates'))
    await realDisk.writeFileDurable(configFile(here), `${JSON.stringify(config, null, 2)}\n`)
    await cp(join(folder.dir, folder.file.keyFile), join(here, 'cluster.key'))
    await cp(template, join(here, 'templates', basename(template)), { recursive: true })
    lines.push(
      `  ${here}/ -> ${host.name}:${host.dir}/   then on ${host.name}: mirabelle agent --dir ${host.dir}`,
    )
  }
  return lines
}
