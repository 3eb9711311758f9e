// Administrative commands are killed at drawn points and run again: a short part of the crash matrix with a fixed seed. The whole is
// `npm run crash-matrix -- --seed N`.
import t from 'tap'
import { runMatrix } from '@mirabelle/testkit/crash-matrix'

t.setTimeout(3_600_000)

t.test('commands that were killed are run again and end well, and the catalog is true', async (t) => {
  const results = await runMatrix({
    seed: 5,
    rounds: 3,
    commands: ['recover-differential', 'rebalance', 'mirrors-move', 'standby-init', 'standby-activate'],
    tell: (line) => t.comment(line),
  })
  for (const { command, rounds, killed, failures } of results) {
    t.same(failures, [], `${command}: ${killed} of ${rounds} killed as drawn`)
    t.ok(killed > 0, `${command} was killed at all`)
  }
})
