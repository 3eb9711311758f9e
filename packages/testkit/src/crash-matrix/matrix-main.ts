/** Entry of `npm run crash-matrix`: reads the options, runs, prints what came out. Exit status 0 all ended well, 1 not, 2 the run could not be made. */
import { parseArgs } from 'node:util'
import { matrixCommandNames, type MatrixCommandName } from './commands.ts'
import { runMatrix } from './run-matrix.ts'

const SEEDS = 1_000_000
const HELP = `npm run crash-matrix -- [options]

Each administrative command is killed at drawn points (itself, an agent, the coordinator, or an instance that it works on) and run again.

  --seed N          draws the same kills again (default: by the clock)
  --rounds N        kills of each command (default 20)
  --commands a,b    only these of: ${matrixCommandNames.join(', ')}
  --only 3,7        only these of the drawn kills
  --json            one JSON object at the end
`

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      rounds: { type: 'string', default: '20' },
      commands: { type: 'string' },
      only: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const seed = values.seed === undefined ? Date.now() % SEEDS : number(values.seed)
  const results = await runMatrix({
    seed,
    rounds: number(values.rounds),
    commands: values.commands === undefined ? matrixCommandNames : values.commands.split(',').map(name),
    ...(values.only === undefined ? {} : { only: values.only.split(',').map(number) }),
    tell: (line) => void process.stderr.write(`${line}\n`),
  })
  const failed = results.reduce((sum, { failures }) => sum + failures.length, 0)
  const rounds = results.reduce((sum, one) => sum + one.rounds, 0)
  const killed = results.reduce((sum, one) => sum + one.killed, 0)
  if (values.json) process.stdout.write(`${JSON.stringify({ seed, rounds, killed, failed, results })}\n`)
  else
    process.stdout.write(
      `${rounds} rounds, ${killed} killed as drawn, ${failed} did not end well; seed ${seed}\n`,
    )
  return failed === 0 ? 0 : 1
}

function number(text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`${text} is no whole number; see --help`)
  return Number(text)
}

function name(text: string): MatrixCommandName {
  const found = matrixCommandNames.find((one) => one === text)
  if (found === undefined) throw new Error(`there is no command ${text}; see --help`)
  return found
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(`${(error as Error).stack ?? String(error)}\n`)
  // The cluster is gone; what still waits for it is not waited for.
  process.exit(2)
}
