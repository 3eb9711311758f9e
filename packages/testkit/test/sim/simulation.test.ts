/** The simulation as a test: the same seed is the same story, and a thousand seeds keep every promise. */
import t from 'tap'
import { runSeeds, simulate, tellFailure } from '@mirabelle/testkit'

t.setTimeout(900_000)

const SEEDS = 1_000
/** It takes some 45 s of one core of the CI's kind; the bound is for mistakes, not for busy machines. */
const LIMIT_CPU_MS = 300_000

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

void t.test(`${SEEDS} seeds keep every promise`, { timeout: 900_000 }, async (t) => {
  const result = await runSeeds({ first: 1, count: SEEDS, maxFailures: 3 })
  for (const failed of result.failures) t.fail(await tellFailure(failed))
  t.equal(result.seeds, SEEDS)
  t.ok(result.counts.acknowledged > SEEDS * 20, 'clients got something done')
  t.ok(result.counts.unknown > SEEDS / 20, 'faults were in the way')
  t.ok(result.undecided < SEEDS / 100, `${result.undecided} runs ended where only a human may go on`)
  t.ok(result.cpuMs < LIMIT_CPU_MS, `${Math.round(result.cpuMs)} ms of CPU`)
  t.comment(result.summary)
})
