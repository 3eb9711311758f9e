/** The fault points of this thread. Loaded only in a process that has fault points: the engine's thread imports nothing else at run time but its own files. */
import { ThreadFaults } from '@mirabelle/messages'
import { crashHere } from '@mirabelle/runtime/crash'

/** What to call around each fsync of a data file; throws when a test wants it to fail. */
export function dataSyncFaults(buffer: SharedArrayBuffer): (when: 'before' | 'after') => void {
  const faults = new ThreadFaults(buffer)
  return (when) => faults.at(`fsync.data.${when}`, crashHere)
}
