/** Waiting for what only another process knows: looked at again and again until it is so; the time limit ends it with an error that names it. */

const LOOK_EVERY_MS = 25

/** Never used to stand for an event: only for the pace of a client or of a poll. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/**
 * Resolves with the first answer of `look` that is neither undefined nor false. An error of `look` counts as "not yet", and is the cause of
 * the error when the time is over.
 */
export async function waitFor<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  limitMs = 30_000,
  everyMs = LOOK_EVERY_MS,
): Promise<T> {
  const deadline = performance.now() + limitMs
  let last: unknown
  for (;;) {
    try {
      const found = await look()
      if (found !== undefined && found !== false) return found
      last = undefined
    } catch (error) {
      last = error
    }
    if (performance.now() >= deadline)
      throw new Error(`waited ${limitMs} ms in vain for ${what}`, { cause: last })
    await pause(everyMs)
  }
}
