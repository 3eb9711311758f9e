/** The options of `npm run chaos`. */
import { parseArgs } from 'node:util'
import { faultNames, faults, loopbackFaultNames, type FaultName } from './faults/fault-catalog.ts'
import { workloadNames, type WorkloadName } from './history/op.ts'

export class WrongOption extends Error {
  override readonly name = 'WrongOption'
}

/** What the hosts of the cluster are: this machine, or network namespaces on it. */
export const hostsKinds = ['loopback', 'netns'] as const
export type HostsKind = (typeof hostsKinds)[number]

export interface ChaosArgs {
  readonly minutes: number
  readonly seed: number
  readonly segments: number
  readonly hosts: HostsKind
  readonly faults: readonly FaultName[]
  readonly workloads: readonly WorkloadName[]
  readonly restMs: number
  readonly out: string | undefined
  readonly json: boolean
  readonly help: boolean
}

const definitions = {
  minutes: { type: 'string', default: '1' },
  seed: { type: 'string' },
  segments: { type: 'string', default: '2' },
  faults: { type: 'string' },
  workloads: { type: 'string' },
  hosts: { type: 'string', default: 'loopback' },
  rest: { type: 'string', default: '20' },
  out: { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

const SEEDS = 1_000_000

/** Throws WrongOption with what is allowed. */
export function parseChaosArgs(args: readonly string[]): ChaosArgs {
  const values = parse(args)
  const hosts = hostsKinds.find((kind) => kind === values.hosts)
  if (hosts === undefined)
    throw new WrongOption(`--hosts ${values.hosts} is not known; there are ${hostsKinds.join(', ')}`)
  return {
    hosts,
    minutes: numberOf('minutes', values.minutes, 0),
    seed: values.seed === undefined ? Date.now() % SEEDS : numberOf('seed', values.seed, 0),
    segments: numberOf('segments', values.segments, 1),
    faults: faultsOf(values.faults, hosts),
    workloads: namesOf('workloads', values.workloads, workloadNames),
    restMs: numberOf('rest', values.rest, 0),
    out: values.out,
    json: values.json,
    help: values.help,
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: definitions }).values
  } catch (error) {
    throw new WrongOption(`${(error as Error).message}; see --help`, { cause: error })
  }
}

function numberOf(name: string, text: string, least: number): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value < least)
    throw new WrongOption(`--${name} takes a number of at least ${least}, not "${text}"`)
  return value
}

function faultsOf(text: string | undefined, hosts: HostsKind): readonly FaultName[] {
  if (hosts === 'netns') return namesOf('faults', text, faultNames)
  if (text === undefined) return loopbackFaultNames
  const wanted = namesOf('faults', text, faultNames)
  const impossible = wanted.filter((name) => !loopbackFaultNames.includes(name))
  if (impossible.length > 0)
    throw new WrongOption(`${impossible.join(', ')} can be done with --hosts netns only`)
  return wanted
}

function namesOf<T extends string>(
  option: string,
  text: string | undefined,
  all: readonly T[],
): readonly T[] {
  if (text === undefined) return all
  const wanted = text.split(',')
  const wrong = wanted.filter((name) => !(all as readonly string[]).includes(name))
  if (wrong.length > 0)
    throw new WrongOption(`--${option} does not know ${wrong.join(', ')}; there are ${all.join(', ')}`)
  return wanted as T[]
}

export function chaosHelp(): string {
  const list = faultNames.map((name) => `    ${name.padEnd(28)}${faults[name].description}`)
  return [
    'npm run chaos -- [options]: real processes under load and faults, and a judgement of everything that clients saw',
    '',
    '  --minutes M      how long faults are done (default 1); healing and reading come after',
    '  --seed S         which faults, drawn how; default: another one each time, and printed',
    '  --segments N     primaries (default 2), each with a mirror',
    '  --faults LIST    only these, separated by commas; default all (those that cut: with --hosts netns only)',
    `  --workloads LIST only these of ${workloadNames.join(', ')}; default all`,
    '  --hosts KIND     loopback (default): all hosts are this machine; netns: network namespaces on it, which can be cut',
    '                   off from each other (Linux, root, the program ip)',
    '  --rest MS        between an answer and the next operation of each client (default 20)',
    '  --out DIR        where the files go (default .chaos/seed-S)',
    '  --json           print the summary as JSON',
    '',
    '  Exit status: 0 no anomaly, 1 anomalies, 2 the run could not be made.',
    '',
    '  Faults:',
    ...list,
  ].join('\n')
}
