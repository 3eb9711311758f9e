// `kill -9` of every process of a cluster under load, then `start`. Ten rounds of it: kill-everything.long.test.ts.
import t from 'tap'
import { killEverything } from './kill-everything.ts'

// A busy machine starts a cluster slowly; the limits of the single waits are much lower.
t.setTimeout(300_000)

t.test('a cluster killed as a whole starts with everything that it acknowledged', async (t) => {
  await killEverything(t, 1)
})
