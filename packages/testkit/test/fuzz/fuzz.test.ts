/** The fuzzers: a short run of each, and whether the machinery finds, shrinks and replays what it should. The long runs are `npm run fuzz`. */
import t from 'tap'
import {
  drawInput,
  fuzzTargets,
  plantedModule,
  plantedTargets,
  runTarget,
  watchTarget,
  type FuzzTarget,
} from '@mirabelle/testkit/fuzz'

const SEED = 20_261_127
const module = plantedModule

function plantedTarget(name: string): FuzzTarget {
  const target = plantedTargets.find((one) => one.name === name)
  if (target === undefined) throw new Error(`there is no target ${name}`)
  return target
}

for (const target of fuzzTargets)
  t.test(`${target.name}: ${target.what}`, async (t) => {
    const { failure, inputs } = await runTarget(target, { seed: SEED, inputs: 400, watchResources: false })
    t.equal(failure?.error, undefined)
    t.equal(inputs, 400)
  })

t.test('what fails is found, made small, and drawn again by its number', async (t) => {
  for (const [name, sentence] of [
    ['throws', 'it is not borne'],
    ['rejects-unseen', 'nobody looks'],
  ] as const) {
    const target = plantedTarget(name)
    const { failure } = await runTarget(target, { seed: SEED, inputs: 10_000, watchResources: false })
    t.match(failure?.error, sentence)
    t.same(failure?.input, [Uint8Array.of(0x2a)], 'one byte is left')
    const index = failure?.index ?? 0
    t.ok(drawInput(target, SEED, index).some((piece) => piece.includes(0x2a)))
    const again = await runTarget(target, { seed: SEED, first: index, inputs: 1, watchResources: false })
    t.match(again.failure?.error, sentence, 'it fails again, alone')
  }
})

t.test('what is not given back is found', async (t) => {
  for (const [name, sentence] of [
    ['leaks', /KiB of memory are held/],
    ['leaves-timers', /timers or sockets are left over/],
  ] as const) {
    const { failure } = await watchTarget(name, { seed: SEED, inputs: 1_200 }, { module })
    t.match(failure?.error, sentence)
  }
})

t.test('an input that never ends, or takes all memory, is told by its number', async (t) => {
  for (const [name, sentence, hangMs] of [
    ['hangs', /a hang/, 1_000],
    ['eats-memory', /a crash: .*memory/, 60_000],
  ] as const) {
    const options = { seed: SEED, inputs: 10_000, watchResources: false }
    const { failure } = await watchTarget(name, options, { module, hangMs, heapMb: 48 })
    t.match(failure?.error, sentence)
    t.ok(drawInput(plantedTarget(name), SEED, failure?.index ?? 0).some((piece) => piece.includes(0x2a)))
  }
})
