/** A failing seed becomes a short story that replays: with a planted bug, because there is no other one. */
import t from 'tap'
import { mutants, shrinkFailure, simulate, tellFailure, type SimulationResult } from '@mirabelle/testkit'

t.setTimeout(300_000)

const mutant = mutants.find(({ name }) => name === 'prepared-forgotten')
if (mutant === undefined) throw new RangeError('there is no such mutant')
const simulation = { overrides: mutant.plant, quietMinutes: 0.1 }

/** Enough for the few faults that one seed has. */
const RUNS = 40

async function firstFailure(firstSeed: number): Promise<SimulationResult> {
  for (let seed = firstSeed; seed <= firstSeed + 500; seed++) {
    const result = await simulate({ ...simulation, seed })
    if (result.failure !== undefined && result.plan.faults.length > 5) return result
  }
  throw new RangeError('no seed fails')
}

void t.test('what is left of a failing seed is shorter, fails in the same way, and replays', async (t) => {
  const failed = await firstFailure(mutant.firstSeed)
  const { replay, result } = await shrinkFailure(failed, simulation, RUNS)
  t.ok(
    result.plan.faults.length < failed.plan.faults.length,
    `${result.plan.faults.length} of ${failed.plan.faults.length} faults`,
  )
  t.ok(result.steps <= failed.steps, `${result.steps} of ${failed.steps} events`)
  t.equal(result.failure?.promise, failed.failure?.promise)
  const again = await simulate({ ...simulation, ...replay })
  t.same([again.failure?.message, again.steps], [result.failure?.message, result.steps])
  const plain = await simulate({ ...replay })
  t.equal(plain.failure, undefined, 'without the planted bug it does not fail')

  const story = await tellFailure(result, { ...simulation, ...replay })
  t.match(story, /shrunk in \d+ runs from \d+ faults/)
  const told = JSON.parse(/--replay '(.*)'/.exec(story)?.[1] ?? '') as { seed: number }
  const once = await simulate({ ...simulation, ...told })
  t.equal(once.failure?.promise, failed.failure?.promise, 'what is printed replays it')
})
