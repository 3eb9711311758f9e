/**
 * The crash matrix: each administrative command is killed at drawn points and run again (I12). Started by `npm run crash-matrix` or a test; everything that it
 * started has ended when it resolves or rejects.
 */
import { SimRandom } from '../sim/sim-random.ts'
import { lastWords } from './command-line.ts'
import { matrixCommands, type MatrixCommandName } from './commands.ts'
import { describeKill, drawKills } from './draw.ts'
import { runRound, runUnharmed } from './round.ts'
import { World } from './world.ts'

export interface MatrixOptions {
  readonly seed: number
  /** Kills of each command. */
  readonly rounds: number
  readonly commands: readonly MatrixCommandName[]
  readonly tell: (line: string) => void
  /** Only these of the drawn kills, counted from 1; all without it. */
  readonly only?: readonly number[]
}

export interface CommandResult {
  readonly command: MatrixCommandName
  readonly usualMs: number
  readonly rounds: number
  /** Rounds in which something died as drawn. */
  readonly killed: number
  /** What went wrong, by round. */
  readonly failures: readonly {
    readonly round: number
    readonly kill: string
    readonly problems: readonly string[]
  }[]
}

export async function runMatrix(options: MatrixOptions): Promise<CommandResult[]> {
  const { seed, tell } = options
  tell(`making a cluster (seed ${seed})`)
  const world = await World.start()
  const results: CommandResult[] = []
  try {
    for (const name of options.commands) {
      const result = await killOne(world, name, options)
      results.push(result)
      const { usualMs, rounds, killed, failures } = result
      tell(
        `${name}: ${rounds - failures.length} of ${rounds} ended well, ${killed} killed as drawn; unharmed it takes ${usualMs} ms`,
      )
    }
  } finally {
    await world.close()
  }
  return results
}

async function killOne(
  world: World,
  name: MatrixCommandName,
  options: MatrixOptions,
): Promise<CommandResult> {
  const { seed, rounds, only, tell } = options
  const command = matrixCommands[name]
  // Each command draws by itself, so that one alone meets the same kills as in the whole matrix.
  const random = new SimRandom(seed * 1000 + [...name].reduce((sum, letter) => sum + letter.charCodeAt(0), 0))
  const kills = drawKills(command.points, rounds, random)
  const { tookMs: usualMs } = await runUnharmed(world, command)
  let [killed, done] = [0, 0]
  const failures: { round: number; kill: string; problems: readonly string[] }[] = []
  for (const [i, kill] of kills.entries()) {
    const round = i + 1
    const drawn = random.fork()
    if (only !== undefined && !only.includes(round)) continue
    const beganAt = performance.now()
    const text = describeKill(kill)
    const { problems, first, ...rest } = await runRound(world, command, kill, usualMs, drawn)
    const judged = round === kills.length ? await world.judge() : []
    const all = [...problems, ...judged]
    done += 1
    killed += rest.killed ? 1 : 0
    if (all.length > 0) failures.push({ round, kill: text, problems: all })
    const how = `${rest.killed ? '' : ' (not reached)'}${rest.help === '' ? '' : ` (helped: ${rest.help})`}`
    const took = `${Math.round((performance.now() - beganAt) / 1000)} s`
    tell(`${name} ${round}/${rounds}: ${text}${how}: ${all.length === 0 ? 'ended well' : 'FAILED'}, ${took}`)
    if (all.length > 0) for (const one of [...all, `first: ${lastWords(first)}`]) tell(`    ${one}`)
  }
  return { command: name, usualMs, rounds: done, killed, failures }
}
