/** `mirabelle init`: makes a cluster, on this machine or on the hosts of a YAML file. Starts nothing that it does not end again. */
import { randomInt } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Option, type Command } from 'commander'
import { isSettingName, parseSetting } from '@mirabelle/messages'
import { makeInstances, planFolder } from '../cluster/create-cluster-folder.ts'
import { parseClusterYaml } from '../describe/cluster-yaml.ts'
import { planLocalCluster } from '../describe/local-cluster.ts'
import { CliError } from '../errors.ts'
import { ClusterFolder } from '../folder/cluster-folder.ts'
import { planCluster } from '../placement/plan-cluster.ts'
import { PlacementError, type ClusterPlan, type Mirroring } from '../placement/placement.ts'
import { terminalReporter, type Reporter } from '../terminal/reporter.ts'
import {
  dirOf,
  dirOption,
  jsonOption,
  setting,
  wholeNumber,
  type DirOption,
  type JsonOption,
} from './options.ts'

export interface InitOptions extends DirOption, JsonOption {
  readonly file?: string
  readonly hosts: number
  readonly segments: number
  readonly mirroring: Mirroring
  readonly standby: boolean
  readonly port?: number
  readonly basePort?: number
  readonly set: Record<string, string>
}

export function addInit(program: Command): void {
  program
    .command('init')
    .description('make a new cluster (on this machine, or on the hosts of a YAML file)')
    .addOption(dirOption())
    .option('-f, --file <yaml>', 'describe the cluster in this file; its agents must run already')
    .option('--segments <n>', 'primaries in all', wholeNumber(1, 1000), 2)
    .addOption(
      new Option('--mirroring <how>', 'where mirrors go')
        .choices(['group', 'spread', 'none'])
        .default('group'),
    )
    .option('--no-standby', 'no standby coordinator')
    .option('--standby', 'a standby coordinator (default)')
    .option('--hosts <n>', 'simulated hosts', wholeNumber(1, 100), 3)
    .option(
      '--port <port>',
      "the coordinator's port for clients (default: 6432 or the next free one)",
      wholeNumber(1, 65_535),
    )
    .option(
      '--base-port <port>',
      'first port of everything else (default: a free range)',
      wholeNumber(1024, 65_000),
    )
    .option('--set <name=value>', 'a setting, may be repeated', setting, {})
    .addOption(jsonOption())
    .action(async (options: InitOptions) => {
      const reporter = terminalReporter()
      const folder = await init(dirOf(options), options, reporter)
      if (options.json === true) reporter.print(JSON.stringify(describeFolder(folder)))
      else for (const line of sayMade(folder)) reporter.print(line)
    })
}

/**
 * Makes the cluster, or completes one whose making was interrupted. Throws CliError when the folder holds a complete one. With `thenStarts` the agents
 * that it starts go on, for whoever starts the cluster next.
 */
export async function init(
  dir: string,
  options: InitOptions,
  reporter: Reporter,
  then: { readonly thenStarts: boolean } = { thenStarts: false },
): Promise<ClusterFolder> {
  checkSettings(options.set)
  const found = await ClusterFolder.find(dir)
  if (found?.file.progress === 'ready')
    throw new CliError(
      `${dir} holds a cluster already: start it with "mirabelle start", or delete it with "mirabelle destroy"`,
    )
  if (found !== undefined) reporter.say(`Completing the cluster in ${dir}, whose making was interrupted`)
  const folder = found ?? (await plan(dir, options, reporter))
  await makeInstances(folder, reporter, then)
  return folder
}

/** Plans the cluster and writes its folder; contacts nobody. */
export async function plan(dir: string, options: InitOptions, reporter: Reporter): Promise<ClusterFolder> {
  try {
    return options.file === undefined
      ? await planLocal(dir, options, reporter)
      : await planFromFile(dir, options.file, reporter)
  } catch (error) {
    if (error instanceof PlacementError) throw new CliError(error.message, { cause: error })
    throw error
  }
}

async function planLocal(dir: string, options: InitOptions, reporter: Reporter): Promise<ClusterFolder> {
  const { hosts, segments, mirroring, standby, port, basePort } = options
  const made = await planLocalCluster({ dir, hosts, segments, mirroring, standby, port, basePort }, (below) =>
    randomInt(below),
  )
  warn(made, reporter)
  return planFolder({
    dir,
    plan: made,
    hostDirs: new Map(made.hosts.map(({ hostname }) => [hostname, `${dir}/${hostname}`])),
    local: true,
    mirroring,
    // Whoever can reach the loopback address of a cluster made for this machine is its user.
    settings: { loopback_trust: 'on', ...options.set },
  })
}

async function planFromFile(dir: string, file: string, reporter: Reporter): Promise<ClusterFolder> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw new CliError(`${file} cannot be read: ${(error as Error).message}`, { cause: error })
  }
  const described = parseClusterYaml(file, text)
  const made = planCluster(described.description)
  warn(made, reporter)
  return planFolder({
    dir,
    plan: made,
    hostDirs: described.hostDirs,
    transport: described.transport,
    local: false,
    mirroring: described.mirroring,
    settings: described.settings,
  })
}

function warn(made: ClusterPlan, reporter: Reporter): void {
  for (const warning of made.warnings) reporter.say(`Warning: ${warning}`)
}

function checkSettings(settings: Record<string, string>): void {
  for (const [name, value] of Object.entries(settings)) {
    if (!isSettingName(name)) throw new CliError(`there is no setting "${name}"`)
    try {
      parseSetting(name, value)
    } catch (error) {
      throw new CliError((error as Error).message, { cause: error })
    }
  }
}

function describeFolder(folder: ClusterFolder): object {
  const { file, dir } = folder
  return {
    dir,
    clusterId: file.clusterId,
    mirroring: file.mirroring,
    hosts: file.hosts,
    instances: file.rows,
  }
}

function sayMade({ file, dir }: ClusterFolder): string[] {
  const segments = new Set(file.rows.filter(({ content }) => content >= 0).map(({ content }) => content)).size
  return [
    `Made a cluster in ${dir}: ${segments} segments, ${file.mirroring === 'none' ? 'no mirrors' : `${file.mirroring} mirroring`}, ${file.standbyDbid === null ? 'no standby coordinator' : 'a standby coordinator'}, on ${file.hosts.length} hosts`,
    `Start it with: mirabelle start --dir ${dir}`,
  ]
}
