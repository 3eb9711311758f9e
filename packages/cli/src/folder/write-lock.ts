/** One command at a time changes the description of a cluster. */
import { delay, holdFolder, realClock } from '@mirabelle/runtime'
import { CliError } from '../errors.ts'

/** A change is a small file: whoever takes longer hangs. */
const PATIENCE_MS = 10_000
const LOOK_EVERY_MS = 10

/** Does the work when no other command does any on this folder. Throws CliError when one does not come to its end. */
export async function whileAlone<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const deadline = realClock.monotonic() + PATIENCE_MS
  for (;;) {
    const held = await holdFolder(folder, 'cluster')
    if (held !== undefined) {
      try {
        return await work()
      } finally {
        await held.release()
      }
    }
    if (realClock.monotonic() >= deadline)
      throw new CliError(
        `another command has been changing cluster.json in ${folder} for ${PATIENCE_MS / 1000} s: end it, and run this again`,
      )
    await delay(realClock, LOOK_EVERY_MS)
  }
}
