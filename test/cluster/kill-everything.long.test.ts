// `kill -9` of every process of a cluster under load, then `start`: ten times on one cluster. Not part of `npm test`:
// npx tap --timeout=900 test/cluster/kill-everything.long.test.ts
import t from 'tap'
import { killEverything } from './kill-everything.ts'

// A busy machine starts a cluster slowly; the limits of the single waits are much lower.
t.setTimeout(1_200_000)

t.test('a cluster killed as a whole ten times starts with everything that it acknowledged', async (t) => {
  await killEverything(t, 10)
})
