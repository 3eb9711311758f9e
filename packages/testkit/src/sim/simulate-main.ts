/** `npm run simulate -- --seeds N --seed S [--minutes M] [--trace]`: runs seeds and says how fast; a seed that fails is told with its story. */
import { parseArgs } from 'node:util'
import { runSeeds, tellFailure } from './run-seeds.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    trace: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) {
  process.stdout.write(
    'simulate [--seeds N] [--seed S] [--minutes M] [--trace]\n\n' +
      '  --seeds N    run N seeds (default 1000)\n' +
      '  --seed S     the first seed (default 1); alone with --trace it tells everything that happened in it\n' +
      '  --minutes M  go on for so long, whatever --seeds says\n' +
      '  --trace      print every line of the story\n',
  )
} else {
  const result = await runSeeds({
    first: Number(values.seed),
    count: values.minutes === undefined ? Number(values.seeds) : Number.POSITIVE_INFINITY,
    forMs: values.minutes === undefined ? Number.POSITIVE_INFINITY : Number(values.minutes) * 60_000,
    onProgress: (line) => process.stderr.write(`${line}\n`),
    ...(values.trace
      ? { onStory: (lines: readonly string[]) => process.stdout.write(`${lines.join('\n')}\n`) }
      : {}),
  })
  for (const failed of result.failures) process.stdout.write(`${await tellFailure(failed)}\n`)
  process.stdout.write(`${result.summary}\n`)
  process.exitCode = result.failures.length === 0 ? 0 : 1
}
