/** Planted bugs: the simulation must find each of them within a thousand seeds, by the promise that it breaks. */
import t from 'tap'
import { mutants, runSeeds } from '@mirabelle/testkit'

t.setTimeout(900_000)

const SEEDS = 1_000

for (const mutant of mutants) {
  void t.test(`it is found when ${mutant.bug}`, { timeout: 900_000 }, async (t) => {
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
