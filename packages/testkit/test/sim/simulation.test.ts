/** The simulation as a test: the same seed is the same story, and a thousand seeds keep every promise. */
import t from 'tap'
import { runSeeds, simulate, tellFailure } from '@mirabelle/testkit'

t.setTimeout(900_000)

const SEEDS = 1_000
/** A busy machine does not get to all of them: what it has begun by then counts. */
const LIMIT_MS = 60_000
const FEWEST_SEEDS = 200

void t.test('the same seed tells the same story, byte for byte', async (t) => {
  for (const seed of [7, 8]) {
    const first = await simulate({ seed, trace: true })
    const second = await simulate({ seed, trace: true })
    t.ok(first.story.length > 100, `${first.story.length} lines`)
    t.equal(second.story.join('\n'), first.story.join('\n'), `seed ${seed}`)
  }
})

void t.test('what is told does not depend on whether it is written down', async (t) => {
  const silent = await simulate({ seed: 9 })
  const told = await simulate({ seed: 9, trace: true })
  t.same([silent.steps, silent.simulatedMs, silent.counts], [told.steps, told.simulatedMs, told.counts])
})

void t.test('a thousand seeds, or a minute of them, keep every promise', { timeout: 900_000 }, async (t) => {
  const result = await runSeeds({ first: 1, count: SEEDS, forMs: LIMIT_MS, maxFailures: 3 })
  for (const failed of result.failures) t.fail(await tellFailure(failed))
  t.ok(result.seeds >= FEWEST_SEEDS, `${result.seeds} seeds`)
  t.ok(result.counts.acknowledged > result.seeds * 20, 'clients got something done')
  t.ok(result.counts.unknown > result.seeds / 20, 'faults were in the way')
  t.ok(result.undecided <= result.seeds / 100, `${result.undecided} runs ended where only a human may go on`)
  t.comment(result.summary)
})
