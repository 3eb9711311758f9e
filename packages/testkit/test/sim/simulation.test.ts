/** The simulation as a test: the same seed is the same story, a thousand seeds keep every promise, and nothing happens where nothing is done. */
import t from 'tap'
import { runSeeds, simulate, tellFailure } from '@mirabelle/testkit'

t.setTimeout(900_000)

const SEEDS = 1_000
/** Short quiet stretches: `npm run simulate` takes long ones. */
const QUIET_MINUTES = 0.1

void t.test('the same seed tells the same story, byte for byte', async (t) => {
  for (const seed of [7, 8]) {
    const options = { seed, trace: true, quietMinutes: QUIET_MINUTES }
    const first = await simulate(options)
    const second = await simulate(options)
    t.ok(first.story.length > 100, `${first.story.length} lines`)
    t.equal(second.story.join('\n'), first.story.join('\n'), `seed ${seed}`)
  }
})

void t.test('what is told does not depend on whether it is written down', async (t) => {
  const silent = await simulate({ seed: 9, quietMinutes: QUIET_MINUTES })
  const told = await simulate({ seed: 9, trace: true, quietMinutes: QUIET_MINUTES })
  t.same([silent.steps, silent.simulatedMs, silent.counts], [told.steps, told.simulatedMs, told.counts])
})

void t.test('a thousand seeds keep every promise', { timeout: 900_000 }, async (t) => {
  const simulation = { quietMinutes: QUIET_MINUTES }
  const result = await runSeeds({ first: 1, count: SEEDS, maxFailures: 3, simulation })
  for (const failed of result.failures) t.fail(await tellFailure(failed, simulation))
  t.equal(result.seeds, SEEDS)
  t.ok(result.counts.acknowledged > result.seeds * 20, 'clients got something done')
  t.ok(result.counts.unknown > result.seeds / 20, 'faults were in the way')
  t.ok(result.undecided <= result.seeds / 100, `${result.undecided} runs ended where only a human may go on`)
  t.comment(result.summary)
})

void t.test('an hour in which nothing happens leaves a cluster as it was', async (t) => {
  for (const seed of [1, 2]) {
    const { failure, quietMs, simulatedMs } = await simulate({ seed, quietMinutes: 60 })
    t.equal(failure, undefined, `seed ${seed}`)
    t.ok(simulatedMs > quietMs, `${(quietMs / 1000).toFixed(0)} s of ${(simulatedMs / 1000).toFixed(0)} s`)
  }
})
