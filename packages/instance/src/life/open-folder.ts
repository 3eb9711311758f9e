/** The first step of a start: is the folder ours, what did we promise, and the assignment written down before anything acts on it. */
import type { Assignment } from '@mirabelle/messages'
import type { Disk, Logger } from '@mirabelle/runtime'
import { DurableState } from '../state/durable-state.ts'
import { readIdentity, verifyIdentity } from '../state/identity.ts'
import { receivedWalDir } from '../state/layout.ts'

/** Rejects with `datadir.foreign` or `datadir.broken`. */
export async function openFolder(
  disk: Disk,
  log: Logger,
  clusterId: string,
  assignment: Assignment,
): Promise<DurableState> {
  const { datadir, content, dbid } = assignment
  verifyIdentity(datadir, await readIdentity(disk, datadir), { clusterId, content, dbid })
  const durable = await DurableState.open(disk, datadir)
  if (assignment.epoch < durable.epoch) {
    log.warn(
      { epoch: assignment.epoch, promised: durable.epoch },
      'the assignment comes from an older coordinator than the one that was promised obedience',
    )
  }
  await durable.raiseEpoch(assignment.epoch)
  if (assignment.syncRep !== null) await durable.setSyncRep(assignment.syncRep)
  await durable.setAssignment(assignment)
  await disk.makeDir(receivedWalDir(datadir))
  return durable
}
