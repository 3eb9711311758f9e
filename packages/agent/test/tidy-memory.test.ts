import { getHeapSpaceStatistics } from 'node:v8'
import t from 'tap'
import { tidyMemorySoon } from '../src/tidy-memory.ts'

function youngBytes(): number {
  return getHeapSpaceStatistics().find((space) => space.space_name === 'new_space')?.space_size ?? 0
}

t.test('what a start took for young objects is given back, and the process goes on', async (t) => {
  let kept: object[] = []
  for (let i = 0; youngBytes() < 16e6 && i < 2_000_000; i += 1) {
    kept.push({ i, text: `object ${i}` })
    if (kept.length > 200_000) kept = kept.slice(100_000)
  }
  kept = []
  const before = youngBytes()
  tidyMemorySoon([1])
  const deadline = performance.now() + 20_000
  while (youngBytes() >= before && performance.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 10))
  t.ok(youngBytes() < before / 2, `${before} bytes before, ${youngBytes()} after`)
})
