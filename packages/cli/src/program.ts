/** The `mirabelle` command: its subcommands, in the order of `--help`. */
import { Command } from 'commander'
import { VERSION } from '@mirabelle/agent'
import { addAgent, addAgentConfig } from './commands/agent.ts'
import { addConfig } from './commands/config.ts'
import { addDemo } from './commands/demo.ts'
import { addDestroy } from './commands/destroy.ts'
import { addFault } from './commands/fault.ts'
import { addFtsProbe } from './commands/fts-probe.ts'
import { addHost } from './commands/host.ts'
import { addInit } from './commands/init.ts'
import { addMirrors } from './commands/mirrors.ts'
import { addQuickstart } from './commands/quickstart.ts'
import { addRebalance } from './commands/rebalance.ts'
import { addRecover } from './commands/recover.ts'
import { addStandby } from './commands/standby.ts'
import { addStart } from './commands/start.ts'
import { addState } from './commands/state.ts'
import { addStop } from './commands/stop.ts'
import { addWaldump } from './commands/waldump.ts'

export function createProgram(): Command {
  const program = new Command('mirabelle')
    .description("Mirabelle: a sharded PostgreSQL with Greenplum's high availability")
    .version(VERSION)
    .showHelpAfterError('(mirabelle --help shows what there is)')
    .addHelpText('after', '\nExit status: 0 done or nothing to do, 1 partly, 2 could not.')
  addInit(program)
  addStart(program)
  addState(program)
  addRecover(program)
  addRebalance(program)
  addMirrors(program)
  addHost(program)
  addStandby(program)
  addConfig(program)
  addStop(program)
  addDestroy(program)
  addQuickstart(program)
  addDemo(program)
  addFtsProbe(program)
  addFault(program)
  addWaldump(program)
  addAgent(program)
  addAgentConfig(program)
  return program
}
