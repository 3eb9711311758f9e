/** `mirabelle standby …`: init, remove, resync, activate, state (Greenplum: gpinitstandby, gpactivatestandby). */
import { Option, type Command } from 'commander'
import type { ActionResult } from '@mirabelle/messages'
import { activateStandby } from '../cluster/activate-standby.ts'
import { openCluster, type Cluster } from '../cluster/cluster.ts'
import { howToConnect } from '../cluster/connect.ts'
import { noCoordinator } from '../cluster/coordinators.ts'
import { initStandby, removeStandby, resyncStandby, type ResyncMode } from '../cluster/standby-admin.ts'
import { stateFromCoordinator } from '../cluster/state-of.ts'
import { CliError } from '../errors.ts'
import { renderStandby } from '../render/standby.ts'
import { terminalReporter, type Reporter } from '../terminal/reporter.ts'
import { dirOf, dirOption, jsonOption, wholeNumber, type DirOption, type JsonOption } from './options.ts'

interface Common extends DirOption, JsonOption {}

export function addStandby(program: Command): void {
  const standby = program.command('standby').description('the standby coordinator')
  addInit(standby)
  addRemove(standby)
  addResync(standby)
  addActivate(standby)
  addStandbyState(standby)
}

interface InitCommand extends Common {
  readonly host?: string
  readonly port?: number
  readonly datadir?: string
}

function addInit(standby: Command): void {
  standby
    .command('init')
    .description(
      'make a standby coordinator while the coordinator serves; run again, it completes what was interrupted',
    )
    .addOption(dirOption())
    .option(
      '--host <host>',
      "its host; default: where the last one was, else any host that is not the coordinator's",
    )
    .option('--port <port>', "its port for clients; default: the last one's", wholeNumber(1, 65_535))
    .option('--datadir <folder>', 'its folder, absolute and empty; default: a new one beside the others')
    .addOption(jsonOption())
    .action((options: InitCommand) =>
      act(options, (cluster) =>
        initStandby(cluster, {
          host: options.host ?? null,
          port: options.port ?? null,
          datadir: options.datadir ?? null,
        }),
      ),
    )
}

function addRemove(standby: Command): void {
  standby
    .command('remove')
    .description('do away with the standby coordinator and its folder')
    .addOption(dirOption())
    .addOption(jsonOption())
    .action((options: Common) => act(options, removeStandby))
}

function addResync(standby: Command): void {
  standby
    .command('resync')
    .description('bring the standby coordinator back, while the coordinator serves')
    .addOption(dirOption())
    .addOption(
      new Option('--mode <mode>', 'how; auto copies only what WAL cannot bring')
        .choices(['auto', 'incremental', 'differential', 'full'])
        .default('auto'),
    )
    .addOption(jsonOption())
    .action((options: Common & { readonly mode: ResyncMode }) =>
      act(options, (cluster) => resyncStandby(cluster, options.mode)),
    )
}

/** Runs one of the actions and says how it went: status 0 done or nothing to do, 2 could not. */
async function act(
  options: Common,
  work: (cluster: Cluster) => Promise<readonly ActionResult[]>,
): Promise<void> {
  const reporter = terminalReporter()
  const results = await work(await openCluster(dirOf(options), reporter))
  process.exitCode = results.some(({ outcome }) => outcome === 'failed') ? 2 : 0
  if (options.json === true) reporter.print(JSON.stringify({ results }))
  else for (const one of results) reporter.print(`dbid ${one.dbid}: ${one.message}`)
}

function addStandbyState(standby: Command): void {
  standby
    .command('state')
    .description('how the standby coordinator is (the same as "state -f")')
    .addOption(dirOption())
    .addOption(jsonOption())
    .action(async (options: Common) => {
      const reporter = terminalReporter()
      const cluster = await openCluster(dirOf(options), reporter)
      const state = await stateFromCoordinator(cluster)
      if (state === undefined) throw new CliError(noCoordinator(cluster))
      const report = renderStandby(state)
      process.exitCode = report.exitStatus
      if (options.json === true) {
        const instance = state.instances.find(({ content, role }) => content === -1 && role === 'm') ?? null
        const stream = state.instances.find(
          ({ content, role }) => content === -1 && role === 'p',
        )?.replication
        reporter.print(
          JSON.stringify({ standby: state.cluster.standby, instance, replication: stream ?? null }),
        )
      } else for (const line of report.lines) reporter.print(line)
    })
}

function addActivate(standby: Command): void {
  standby
    .command('activate')
    .description('let the standby coordinator take over; refused while the coordinator answers')
    .addOption(dirOption())
    .option('--force', 'even when the coordinator answers, or the standby is known to lack changes')
    .addOption(jsonOption())
    .action(async (options: Common & { readonly force?: boolean }) => {
      const reporter = terminalReporter()
      await activate(options, options.force === true, reporter)
    })
}

async function activate(options: Common, force: boolean, reporter: Reporter): Promise<void> {
  const cluster = await openCluster(dirOf(options), reporter)
  const report = await activateStandby(cluster, force)
  if (options.json === true) {
    reporter.print(JSON.stringify(report))
    return
  }
  reporter.print(
    report.wasActive
      ? `dbid ${report.dbid} acts as coordinator already (epoch ${report.epoch})`
      : `The standby coordinator dbid ${report.dbid} has taken over in ${report.elapsedMs} ms: epoch ${report.epoch}, timeline ${report.timeline}`,
  )
  for (const line of howToConnect(cluster.folder)) reporter.print(line)
  reporter.print('The cluster has no standby coordinator now: "mirabelle standby init" makes one')
}
