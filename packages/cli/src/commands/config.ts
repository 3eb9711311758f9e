/** `mirabelle config`: the settings of a running cluster (Greenplum: gpconfig). */
import type { Command } from 'commander'
import { openCluster, type Cluster } from '../cluster/cluster.ts'
import { changeConfig, readConfig, resetAll, rowOf, type ConfigChange } from '../cluster/config.ts'
import { CliError } from '../errors.ts'
import { renderChange, renderSettings } from '../render/config.ts'
import { terminalReporter, type Reporter } from '../terminal/reporter.ts'
import { dirOf, dirOption, jsonOption, setting, type DirOption, type JsonOption } from './options.ts'

type Common = DirOption & JsonOption

export function addConfig(program: Command): void {
  const config = program.command('config').description('the settings of a running cluster')
  addList(config)
  addGet(config)
  addSet(config)
  addReset(config)
}

function addList(config: Command): void {
  config
    .command('list')
    .description('all settings with their values, defaults and ranges')
    .addOption(dirOption())
    .option('--changed', 'only those that differ from their defaults')
    .addOption(jsonOption())
    .action(async (options: Common & { readonly changed?: boolean }) => {
      const { cluster, reporter } = await open(options)
      const { settings } = await readConfig(cluster)
      const wanted = settings.filter(({ source }) => options.changed !== true || source === 'changed')
      if (options.json === true) reporter.print(JSON.stringify({ settings: wanted }))
      else for (const line of renderSettings(wanted)) reporter.print(line)
    })
}

function addGet(config: Command): void {
  config
    .command('get <name>')
    .description('the value of one setting')
    .addOption(dirOption())
    .addOption(jsonOption())
    .action(async (name: string, options: Common) => {
      const { cluster, reporter } = await open(options)
      const row = rowOf(await readConfig(cluster), name)
      reporter.print(options.json === true ? JSON.stringify(row) : row.value)
    })
}

function addSet(config: Command): void {
  config
    .command('set <name> [value]')
    .description('change a setting: set name value, or set name=value; every instance has it when this ends')
    .addOption(dirOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExit status: 0 done, 1 recorded but an instance did not answer, 2 refused.')
    .action((name: string, value: string | undefined, options: Common) =>
      change(options, value === undefined ? assignment(name) : { [name]: value }),
    )
}

function addReset(config: Command): void {
  config
    .command('reset [names...]')
    .description('take settings back to their defaults')
    .addOption(dirOption())
    .option('--all', 'every setting but loopback_trust, which says who may log in')
    .addOption(jsonOption())
    .action(async (names: readonly string[], options: Common & { readonly all?: boolean }) => {
      if ((options.all === true) === names.length > 0)
        throw new CliError('name the settings to take back, or give --all')
      await change(options, options.all === true ? resetAll() : nulls(names))
    })
}

const nulls = (names: readonly string[]): ConfigChange =>
  Object.fromEntries(names.map((name) => [name, null]))

function assignment(text: string): ConfigChange {
  if (!text.includes('=')) throw new CliError(`give a value: mirabelle config set ${text} VALUE`)
  if (text.startsWith('=')) throw new CliError(`give the name of a setting: mirabelle config set NAME${text}`)
  return setting(text, {})
}

async function change(options: Common, wanted: ConfigChange): Promise<void> {
  const { cluster, reporter } = await open(options)
  const before = await readConfig(cluster)
  const after = await changeConfig(cluster, wanted)
  const report = renderChange(before.settings, after.settings, after.results)
  process.exitCode = report.exitStatus
  if (options.json !== true) {
    for (const line of report.lines) reporter.print(line)
    return
  }
  const settings = after.settings.filter(({ name }) => Object.hasOwn(wanted, name))
  reporter.print(JSON.stringify({ settings, results: after.results }))
}

async function open(options: DirOption): Promise<{ readonly cluster: Cluster; readonly reporter: Reporter }> {
  const reporter = terminalReporter()
  return { cluster: await openCluster(dirOf(options), reporter), reporter }
}
