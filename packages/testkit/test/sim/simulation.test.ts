/** The simulation as a test: the same seed is the same story, a thousand seeds keep every promise, and each planted bug is found. */
import t from 'tap'
import { mutants } from '../../src/sim/mutants.ts'
import { runSeeds, tellFailure } from '../../src/sim/run-seeds.ts'
import { simulate } from '../../src/sim/simulation.ts'

const SEEDS = 1_000
/** It takes some 45 s of one core of the CI's kind; twice that is allowed, since other tests share caches and cores. */
const LIMIT_CPU_MS = 120_000

void t.test('the same seed tells the same story, byte for byte', async (t) => {
  for (const seed of [7, 8]) {
    const first = await simulate({ seed, trace: true })
    const second = await simulate({ seed, trace: true })
    t.ok(first.story.length > 200, `${first.story.length} lines`)
    t.equal(second.story.join('\n'), first.story.join('\n'), `seed ${seed}`)
  }
})

void t.test('what is told does not depend on whether it is written down', async (t) => {
  const silent = await simulate({ seed: 9 })
  const told = await simulate({ seed: 9, trace: true })
  t.same([silent.steps, silent.simulatedMs, silent.counts], [told.steps, told.simulatedMs, told.counts])
})

void t.test(`${SEEDS} seeds keep every promise`, { timeout: 600_000 }, async (t) => {
  const result = await runSeeds({ first: 1, count: SEEDS, maxFailures: 3 })
  for (const failed of result.failures) t.fail(await tellFailure(failed))
  t.equal(result.seeds, SEEDS)
  t.ok(result.counts.acknowledged > SEEDS * 20, 'clients got something done')
  t.ok(result.counts.unknown > SEEDS / 20, 'faults were in the way')
  t.ok(result.undecided < SEEDS / 100, `${result.undecided} runs ended where only a human may go on`)
  t.ok(result.cpuMs < LIMIT_CPU_MS, `${Math.round(result.cpuMs)} ms of CPU`)
  t.comment(result.summary)
})

for (const mutant of mutants) {
  void t.test(`it is found when ${mutant.bug}`, { timeout: 600_000 }, async (t) => {
    const result = await runSeeds({
      first: 1,
      count: SEEDS,
      maxFailures: 1,
      simulation: { overrides: mutant.plant },
    })
    const found = result.failures[0]?.failure
    t.ok(found, `${mutant.name} within ${SEEDS} seeds`)
    t.ok(
      found !== undefined && mutant.found.includes(found.promise),
      `seed ${result.seeds}: ${found?.message ?? 'nothing'}`,
    )
  })
}
