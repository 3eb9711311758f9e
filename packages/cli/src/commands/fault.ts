/** `mirabelle fault`: what happens at the fault points of running processes (Greenplum: gp_inject_fault). For tests; docs/fault-points.md. */
import { Option, type Command } from 'commander'
import {
  faultActions,
  namedFaultPoints,
  type Endpoint,
  type FaultAction,
  type FaultRow,
  type MessageOf,
} from '@mirabelle/messages'
import { openCluster, type Cluster } from '../cluster/cluster.ts'
import { CliError } from '../errors.ts'
import { agentEndpoint } from '../folder/cluster-file.ts'
import { renderFaultPoints, renderFaults } from '../render/faults.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import {
  dirOf,
  dirOption,
  jsonOption,
  secondsOption,
  wholeNumber,
  type DirOption,
  type JsonOption,
} from './options.ts'

const ASK_MS = 5_000
const DEFAULT_WAIT_MS = 60_000
const MAX_COUNT = 1_000_000

type Target = DirOption & JsonOption & { readonly dbid?: number; readonly agent?: string }

export function addFault(program: Command): void {
  const fault = program
    .command('fault')
    .description(
      'for tests: what happens at the fault points of processes that were started with them allowed',
    )
  fault
    .command('list')
    .description('all fault points; messages are points, too: send.TYPE and receive.TYPE')
    .addOption(jsonOption())
    .action((options: JsonOption) => list(options))
  withTarget(fault.command('inject'))
    .argument('<point>')
    .argument('<action>', faultActions.join(', '))
    .description('let something happen when the point is reached')
    .addOption(count('--start <n>', 'from this time on that it is reached').default(1))
    .addOption(count('--end <n>', 'up to this time (default: as --start)'))
    .option('--always', 'from --start on, every time')
    .addOption(secondsOption('--sleep <seconds>', 'how long sleep waits', 0))
    .addOption(
      new Option('--content <n>', 'only when it is about this content').argParser(wholeNumber(0, 16_383)),
    )
    .action(inject)
  withTarget(fault.command('resume'))
    .argument('<point>')
    .description('let go on what is suspended there')
    .action((point: string, options: Target) => simply(options, { type: 'fault.resume', point }, 'resumed'))
  withTarget(fault.command('reset'))
    .argument('[point]', 'default: all')
    .description('forget a fault, or all; what is suspended goes on')
    .action((point: string | undefined, options: Target) =>
      simply(options, { type: 'fault.reset', point: point ?? null }, 'reset'),
    )
  withTarget(fault.command('wait'))
    .argument('<point>')
    .description('wait until a point has been reached')
    .addOption(count('--times <n>', 'so often since its fault was set').default(1))
    .addOption(secondsOption('--timeout <seconds>', 'give up after so long', DEFAULT_WAIT_MS))
    .action(wait)
  withTarget(fault.command('status'))
    .description('the faults that are set, and how they stand')
    .action(status)
}

function withTarget(command: Command): Command {
  return command
    .addOption(dirOption())
    .addOption(new Option('--dbid <n>', 'of this instance').argParser(wholeNumber(1, 32_767)))
    .addOption(new Option('--agent <host>', 'of the agent of this host').conflicts('dbid'))
    .addOption(jsonOption())
}

const count = (flags: string, description: string): Option =>
  new Option(flags, description).argParser(wholeNumber(1, MAX_COUNT))

function list({ json }: JsonOption): void {
  const reporter = terminalReporter()
  const points = [...namedFaultPoints].map(([name, { doc }]) => ({ name, doc }))
  if (json === true) reporter.print(JSON.stringify({ points }))
  else for (const line of renderFaultPoints(points)) reporter.print(line)
}

interface InjectOptions extends Target {
  readonly start: number
  readonly end?: number
  readonly always?: boolean
  readonly sleep: number
  readonly content?: number
}

function inject(point: string, action: string, options: InjectOptions): Promise<void> {
  if (!(faultActions as readonly string[]).includes(action))
    throw new CliError(`"${action}" is nothing that can happen at a fault point: ${faultActions.join(', ')}`)
  const { start, end = start, always, sleep, content = null } = options
  const message = {
    type: 'fault.inject',
    point,
    action: action as FaultAction,
    startOccurrence: start,
    endOccurrence: always === true ? -1 : end,
    sleepMs: Math.round(sleep),
    content,
  } as const
  return simply(options, message, 'set')
}

async function simply<K extends 'fault.inject' | 'fault.resume' | 'fault.reset'>(
  options: Target,
  message: MessageOf<K>,
  word: string,
): Promise<void> {
  const { cluster, endpoint } = await reach(options)
  await cluster.control.ask(endpoint, message, ASK_MS)
  if (options.json === true) cluster.reporter.print(JSON.stringify({ done: word }))
  else cluster.reporter.print(`Fault ${word}`)
}

async function wait(
  point: string,
  options: Target & { readonly times: number; readonly timeout: number },
): Promise<void> {
  const { cluster, endpoint } = await reach(options)
  const timeoutMs = Math.round(options.timeout)
  const message = { type: 'fault.wait', point, hits: options.times, timeoutMs } as const
  show(options, cluster, (await cluster.control.ask(endpoint, message, timeoutMs + ASK_MS)).faults)
}

async function status(options: Target): Promise<void> {
  const { cluster, endpoint } = await reach(options)
  show(options, cluster, (await cluster.control.ask(endpoint, { type: 'fault.status' }, ASK_MS)).faults)
}

function show({ json }: Target, { reporter }: Cluster, faults: readonly FaultRow[]): void {
  if (json === true) reporter.print(JSON.stringify({ faults }))
  else for (const line of renderFaults(faults)) reporter.print(line)
}

async function reach(options: Target): Promise<{ cluster: Cluster; endpoint: Endpoint }> {
  const cluster = await openCluster(dirOf(options), terminalReporter())
  const { folder } = cluster
  if (options.dbid !== undefined) return { cluster, endpoint: folder.row(options.dbid).endpoint }
  if (options.agent !== undefined) return { cluster, endpoint: agentEndpoint(folder.host(options.agent)) }
  throw new CliError('whose fault point? Say --dbid N for an instance or --agent HOST for an agent')
}
