/** Targets that break a promise each, for the test of the machinery. An input is some bytes; 0x2a among them is what is not borne. */
import { promise, type FuzzTarget } from './fuzz-target.ts'

const BAD = 0x2a
const held: unknown[] = []

function target(
  name: string,
  run: (hasBad: boolean, input: readonly Uint8Array[]) => void | Promise<void>,
): FuzzTarget {
  return {
    name,
    what: 'planted',
    draw: (random) =>
      Array.from({ length: 1 + random.below(4) }, () =>
        Uint8Array.from({ length: random.below(9) }, () => random.below(256)),
      ),
    run: (input) =>
      run(
        input.some((piece) => piece.includes(BAD)),
        input,
      ),
  }
}

export const fuzzTargets: readonly FuzzTarget[] = [
  target('throws', (bad) => promise(!bad, () => 'it is not borne')),
  target('rejects-unseen', (bad) => {
    if (bad) void Promise.reject(new TypeError('nobody looks'))
    return new Promise((resolve) => setImmediate(resolve))
  }),
  target('leaks', () => void held.push(Buffer.alloc(20_000))),
  target('leaves-timers', (bad) => void (bad && setInterval(() => undefined, 60_000))),
  target('hangs', (bad) => {
    while (bad) held.length = 0
  }),
  target('eats-memory', (bad) => {
    for (let size = 1; bad; size++) held.push(Array.from({ length: 1e5 }, () => ({ size })))
  }),
]
