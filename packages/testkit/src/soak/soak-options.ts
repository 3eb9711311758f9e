/** The options of `npm run soak`. */
import { parseArgs } from 'node:util'

export class WrongOption extends Error {
  override readonly name = 'WrongOption'
}

export interface SoakArgs {
  readonly statements: number
  readonly failovers: number
  readonly clients: number
  readonly json: boolean
  readonly help: boolean
}

const definitions = {
  statements: { type: 'string', default: '1000000' },
  failovers: { type: 'string', default: '200' },
  clients: { type: 'string', default: '16' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

/** Throws WrongOption with what is allowed. */
export function parseSoakArgs(args: readonly string[]): SoakArgs {
  const values = parse(args)
  return {
    statements: wholeNumber('statements', values.statements),
    failovers: wholeNumber('failovers', values.failovers),
    clients: wholeNumber('clients', values.clients),
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

function wholeNumber(name: string, text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < 1 || !Number.isSafeInteger(value))
    throw new WrongOption(`--${name} takes a whole number from 1 on, not "${text}"`)
  return value
}

export const soakHelp = [
  'npm run soak -- [options]: one cluster under load through many failovers; what its processes and files take must end where it began',
  '',
  '  --statements N  statements that are acknowledged at least (default 1000000)',
  '  --failovers N   primaries killed with kill -9, taken over and recovered (default 200)',
  '  --clients N     clients (default 16)',
  '  --json          print the summary as JSON',
  '',
  '  Exit status: 0 nothing grew and nothing was lost, 1 something did, 2 the run could not be made.',
].join('\n')
