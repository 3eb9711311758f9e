/** A failing seed becomes a short story that replays: with a planted bug, because there is no other one. */
import t from 'tap'
import { mutants, shrinkFailure, simulate, tellFailure, type SimulationResult } from '@mirabelle/testkit'

t.setTimeout(300_000)

const mutant = mutants.find(({ name }) => name === 'settled-told-late')
if (mutant === undefined) throw new RangeError('there is no such mutant')
const simulation = { overrides: mutant.plant, quietMinutes: 0.1 }

async function firstFailure(): Promise<SimulationResult> {
  for (let seed = 1; seed <= 200; seed++) {
    const result = await simulate({ ...simulation, seed })
    if (result.failure !== undefined && result.plan.faults.length > 2) return result
  }
  throw new RangeError('no seed fails')
}

void t.test('what is left of a failing seed is shorter, fails in the same way, and replays', async (t) => {
  const failed = await firstFailure()
  const { replay, result } = await shrinkFailure(failed, simulation)
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
})

void t.test('a failure is told with what replays it', async (t) => {
  const story = await tellFailure(await firstFailure(), simulation)
  const replay = /--replay '(.*)'/.exec(story)?.[1] ?? ''
  const again = await simulate({ ...simulation, ...(JSON.parse(replay) as { seed: number }) })
  t.not(again.failure, undefined)
  t.match(story, /shrunk in \d+ runs from \d+ faults/)
})
