/** The options of `npm run fuzz`. */
import { parseArgs } from 'node:util'
import { fuzzTargets } from './targets/index.ts'

export class WrongOption extends Error {
  override readonly name = 'WrongOption'
}

export interface FuzzArgs {
  readonly targets: readonly string[]
  readonly inputs: number
  readonly seed: number
  readonly minutes: number | undefined
  /** Only this input, told in full. */
  readonly input: number | undefined
  readonly out: string
  readonly help: boolean
}

const definitions = {
  target: { type: 'string' },
  inputs: { type: 'string', default: '100000' },
  seed: { type: 'string' },
  minutes: { type: 'string' },
  input: { type: 'string' },
  out: { type: 'string', default: '.fuzz' },
  help: { type: 'boolean', default: false },
} as const

const SEEDS = 1_000_000

/** Throws WrongOption with what is allowed. */
export function parseFuzzArgs(args: readonly string[]): FuzzArgs {
  const values = parse(args)
  const names = fuzzTargets.map(({ name }) => name)
  const targets = values.target?.split(',') ?? names
  const unknown = targets.filter((name) => !names.includes(name))
  if (unknown.length > 0)
    throw new WrongOption(`--target does not know ${unknown.join(', ')}; there are ${names.join(', ')}`)
  if (values.input !== undefined && (targets.length !== 1 || values.seed === undefined))
    throw new WrongOption('--input replays one input: give --target and --seed with it')
  return {
    targets,
    inputs: wholeNumber('inputs', values.inputs),
    seed: values.seed === undefined ? Date.now() % SEEDS : wholeNumber('seed', values.seed),
    minutes: values.minutes === undefined ? undefined : positive('minutes', values.minutes),
    input: values.input === undefined ? undefined : wholeNumber('input', values.input),
    out: values.out,
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

function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new WrongOption(`--${name} takes a whole number, not "${text}"`)
  return Number(text)
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value > 0))
    throw new WrongOption(`--${name} takes a number above 0, not "${text}"`)
  return value
}

export function fuzzHelp(): string {
  return [
    'npm run fuzz -- [options]: inputs that are right in form and damaged in places, against everything that reads bytes from outside',
    '',
    '  --target LIST  only these, separated by commas; default all, one after the other',
    '  --inputs N     inputs for each target (default 100000)',
    '  --minutes M    for each target so long at most',
    '  --seed S       which inputs; default: another one each time, and printed',
    '  --input K      only input K of this seed and target, told in full: how a failure is replayed',
    '  --out DIR      where failing inputs are kept (default .fuzz)',
    '',
    '  A crash, a hang, a broken promise, memory or handles that are not given back: exit status 1. Wrong options: 2.',
    '',
    '  Targets:',
    ...fuzzTargets.map(({ name, what }) => `    ${name.padEnd(18)}${what}`),
  ].join('\n')
}
