/**
 * The `mirabelle` command: its subcommands, in the order of `--help`. Only the one that is asked for is loaded: reading them all takes half a second of
 * processor time, which somebody who lets a standby take over would wait for.
 */
import { Command } from 'commander'
import { VERSION } from '@mirabelle/agent/facts'

type AddCommand = (program: Command) => void

const commands: Readonly<Record<string, () => Promise<AddCommand>>> = {
  init: async () => (await import('./commands/init.ts')).addInit,
  start: async () => (await import('./commands/start.ts')).addStart,
  state: async () => (await import('./commands/state.ts')).addState,
  recover: async () => (await import('./commands/recover.ts')).addRecover,
  rebalance: async () => (await import('./commands/rebalance.ts')).addRebalance,
  mirrors: async () => (await import('./commands/mirrors.ts')).addMirrors,
  host: async () => (await import('./commands/host.ts')).addHost,
  standby: async () => (await import('./commands/standby.ts')).addStandby,
  config: async () => (await import('./commands/config.ts')).addConfig,
  stop: async () => (await import('./commands/stop.ts')).addStop,
  destroy: async () => (await import('./commands/destroy.ts')).addDestroy,
  quickstart: async () => (await import('./commands/quickstart.ts')).addQuickstart,
  demo: async () => (await import('./commands/demo.ts')).addDemo,
  'fts-probe': async () => (await import('./commands/fts-probe.ts')).addFtsProbe,
  fault: async () => (await import('./commands/fault.ts')).addFault,
  waldump: async () => (await import('./commands/waldump.ts')).addWaldump,
  agent: async () => (await import('./commands/agent.ts')).addAgent,
  'agent-config': async () => (await import('./commands/agent.ts')).addAgentConfig,
}

/** For these arguments; with all subcommands when they name none of them. */
export async function createProgram(args: readonly string[] = []): Promise<Command> {
  const program = new Command('mirabelle')
    .description("Mirabelle: a sharded PostgreSQL with Greenplum's high availability")
    .version(VERSION)
    .showHelpAfterError('(mirabelle --help shows what there is)')
    .addHelpText('after', '\nExit status: 0 done or nothing to do, 1 partly, 2 could not.')
  const name = args[0] ?? ''
  const asked = Object.hasOwn(commands, name) ? commands[name] : undefined
  const loads = asked === undefined ? Object.values(commands) : [asked]
  for (const add of await Promise.all(loads.map((load) => load()))) add(program)
  return program
}
