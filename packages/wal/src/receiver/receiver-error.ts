/** What a walreceiver says of a failure that has no code of its own: it comes from the disk. */
import { isDiskFull, MirabelleError, type Dbid } from '@mirabelle/messages'

export function receiverError(error: unknown, dbid: Dbid): MirabelleError {
  if (error instanceof MirabelleError) return error
  return new MirabelleError(
    isDiskFull(error) ? 'disk.full' : 'disk.failed',
    `the walreceiver of dbid ${dbid} failed: ${(error as Error).message}`,
    { cause: error },
  )
}
