/** Shows something again and again, like watch(1): until Ctrl-C, or so many times. */
import { delay, type Clock } from '@mirabelle/runtime'

export interface WatchOptions {
  readonly intervalMs: number
  /** Ends after so many looks; undefined: never. */
  readonly count: number | undefined
}

/** Starts a new page on a terminal; what goes into a file or a pipe is only separated. */
const NEW_PAGE = '\u001b[H\u001b[2J'

/** Calls `look` at once and then every `intervalMs` after its end. What it throws ends the watching. */
export async function watch(
  clock: Clock,
  { intervalMs, count = Number.POSITIVE_INFINITY }: WatchOptions,
  look: () => Promise<void>,
): Promise<void> {
  for (let looks = 1; ; looks++) {
    await look()
    if (looks >= count) return
    await delay(clock, intervalMs)
  }
}

/** The line above a look. */
export function watchHead(atMs: number, intervalMs: number, isTerminal: boolean): string {
  const head = `${new Date(atMs).toISOString()}, every ${intervalMs / 1000} s`
  return isTerminal ? `${NEW_PAGE}${head}` : head
}
