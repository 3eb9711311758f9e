/** Waiting for something that only the other side knows: asked again until it is so or the time is over. */
import { delay, type Clock } from '@mirabelle/runtime'

/** Asks `look` every `everyMs` until it returns something other than undefined; undefined when `limitMs` have passed first. */
export async function poll<T>(
  clock: Clock,
  limitMs: number,
  everyMs: number,
  look: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const deadline = clock.monotonic() + limitMs
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (clock.monotonic() >= deadline) return undefined
    await delay(clock, everyMs)
  }
}
