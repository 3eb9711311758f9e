/** Makes a failing input small: whole pieces go first, then bytes of each, halves before single ones, as long as it still fails in the same way. */
import type { FuzzInput } from './fuzz-target.ts'

/** Tries at most; an input that is slow to fail shall not shrink for ever. */
const MOST_TRIES = 2_000

/** `fails` tells whether an input still fails as the first one did. */
export async function shrink(
  input: FuzzInput,
  fails: (input: FuzzInput) => Promise<boolean>,
): Promise<FuzzInput> {
  let tries = 0
  const stillFails = async (one: FuzzInput): Promise<boolean> => ++tries <= MOST_TRIES && (await fails(one))
  const [first, ...rest] = input
  for (const joined of [
    [Buffer.concat(input)],
    ...(first === undefined ? [] : [[first, Buffer.concat(rest)]]),
  ])
    if (joined.length < input.length && (await stillFails(joined))) return shrink(joined, fails)
  let pieces = await fewer(input, async (kept) => stillFails(kept))
  for (let index = 0; index < pieces.length; index++) {
    const before = pieces
    const kept = await fewer([...(before[index] as Uint8Array)], (some) =>
      stillFails(before.map((piece, at) => (at === index ? Uint8Array.from(some) : piece))),
    )
    pieces = before.map((piece, at) => (at === index ? Uint8Array.from(kept) : piece))
  }
  return pieces
}

/** Leaves out runs of items, long runs first. */
async function fewer<T>(
  items: readonly T[],
  fails: (items: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  let kept = items
  for (let run = Math.ceil(kept.length / 2); run >= 1; run = run === 1 ? 0 : Math.ceil(run / 2)) {
    for (let at = 0; at < kept.length;) {
      const without = [...kept.slice(0, at), ...kept.slice(at + run)]
      if (await fails(without)) kept = without
      else at += run
    }
  }
  return kept
}
