/** Planted bugs: the simulation must find each of them within two thousand seeds, by the promise that it breaks. */
import t from 'tap'
import { mutants, runSeeds } from '@mirabelle/testkit'

t.setTimeout(900_000)

const SEEDS = 2_000

for (const mutant of mutants) {
  void t.test(`it is found when ${mutant.bug}`, { timeout: 900_000 }, async (t) => {
    const result = await runSeeds({
      first: mutant.firstSeed,
      count: SEEDS,
      // What a planted bug leads to may show as something else first.
      maxFailures: 5,
      until: ({ promise }) => mutant.found.includes(promise),
      simulation: { overrides: mutant.plant, quietMinutes: 0.1 },
    })
    const found = result.failures.find(
      ({ failure }) => failure !== undefined && mutant.found.includes(failure.promise),
    )
    const seen = result.failures.map(({ failure }) => failure?.message).join('; ')
    t.ok(found, `${mutant.name} within ${result.seeds} seeds: ${seen === '' ? 'nothing' : seen}`)
  })
}

void t.test('there are as many as were asked for, each by its name', (t) => {
  t.ok(mutants.length >= 20, `${mutants.length}`)
  t.equal(new Set(mutants.map(({ name }) => name)).size, mutants.length)
  t.end()
})
