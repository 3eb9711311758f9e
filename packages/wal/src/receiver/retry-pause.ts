/** How long a walreceiver waits before it tries again. Pure. */

const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 1_000

/** The pause after so many attempts in a row, ms: doubled each time, and spread by `random` (0 to 1), so that mirrors do not come all at once. */
export function retryPause(attempts: number, random: number): number {
  const grown = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(10, attempts - 1))
  return grown * (0.75 + random / 2)
}
