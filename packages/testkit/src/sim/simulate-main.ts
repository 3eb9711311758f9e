/**
 * `npm run simulate`: runs seeds, says how much of a cluster's life that was and how fast, and tells a seed that fails with its story. Ends with status 0 when every
 * promise was kept, 1 when one was broken, 2 for a wrong argument.
 */
import { parseArgs } from 'node:util'
import { runSeeds, tellFailure } from './run-seeds.ts'
import type { Replay } from './shrink.ts'

const USAGE = `simulate [--seeds N] [--seed S] [--minutes M] [--quiet Q] [--trace] [--json] [--replay R]

  --seeds N    run N seeds (default 1000)
  --seed S     the first seed (default 1); alone with --trace it tells everything that happened in it
  --minutes M  go on for so long on the clock of this machine, whatever --seeds says
  --quiet Q    the longest quiet stretch after a burst of faults, minutes of simulated time (default 60)
  --trace      print every line of the story
  --json       print the result as one JSON object instead of sentences
  --replay R   run only what a failure was shrunk to, as it was printed
  --help       print this

Status: 0 every promise was kept; 1 a promise was broken; 2 an argument is wrong.
`

interface Arguments {
  readonly seeds: number
  readonly seed: number
  readonly minutes: number | undefined
  readonly quiet: number
  readonly trace: boolean
  readonly json: boolean
  readonly replay: Replay | undefined
  readonly help: boolean
}

/** Throws an Error whose message says what is wrong with them. */
function readArguments(): Arguments {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '1000' },
      seed: { type: 'string', default: '1' },
      minutes: { type: 'string' },
      quiet: { type: 'string', default: '60' },
      trace: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      replay: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const number = (name: string, text: string, whole: boolean): number => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isFinite(value) || value < 0 || (whole && !Number.isInteger(value)))
      throw new Error(`--${name} wants a ${whole ? 'whole number' : 'number'}, not "${text}"`)
    return value
  }
  return {
    seeds: number('seeds', values.seeds, true),
    seed: number('seed', values.seed, true),
    minutes: values.minutes === undefined ? undefined : number('minutes', values.minutes, false),
    quiet: number('quiet', values.quiet, false),
    trace: values.trace,
    json: values.json,
    replay: values.replay === undefined ? undefined : readReplay(values.replay),
    help: values.help,
  }
}

function readReplay(text: string): Replay {
  const replay = JSON.parse(text) as Replay
  if (!Number.isInteger(replay.seed) || !Array.isArray(replay.plan?.faults))
    throw new Error('--replay wants a seed and a plan as they were printed')
  return replay
}

async function run({ seeds, seed, minutes, quiet, trace, json, replay }: Arguments): Promise<number> {
  const simulation = { quietMinutes: quiet, ...replay }
  const result = await runSeeds({
    first: replay?.seed ?? seed,
    count: replay !== undefined ? 1 : minutes === undefined ? seeds : Number.POSITIVE_INFINITY,
    forMs: minutes === undefined ? Number.POSITIVE_INFINITY : minutes * 60_000,
    simulation,
    onProgress: (line) => process.stderr.write(`${line}\n`),
    ...(trace ? { onStory: (lines) => process.stdout.write(`${lines.join('\n')}\n`) } : {}),
  })
  const stories: string[] = []
  for (const failed of result.failures)
    stories.push(await tellFailure(failed, simulation, replay === undefined))
  if (json) {
    const failures = result.failures.map(({ seed: which, failure, steps, simulatedMs }, i) => ({
      seed: which,
      promise: failure?.promise,
      message: failure?.message,
      event: steps,
      simulatedMs,
      story: stories[i]?.split('\n'),
    }))
    process.stdout.write(`${JSON.stringify({ ...result, failures })}\n`)
  } else process.stdout.write(`${[...stories, result.summary].join('\n')}\n`)
  return result.failures.length === 0 ? 0 : 1
}

try {
  const values = readArguments()
  if (values.help) process.stdout.write(USAGE)
  else process.exitCode = await run(values)
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n\n${USAGE}`)
  process.exitCode = 2
}
