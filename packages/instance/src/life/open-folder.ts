/** The first step of a start: is the folder ours, what did we promise, and the assignment written down before anything acts on it. */
import { COORDINATOR_CONTENT, MirabelleError, type Assignment } from '@mirabelle/messages'
import type { Disk } from '@mirabelle/runtime'
import { withNewestSettings } from '../state/newest-settings.ts'
import { DurableState } from '../state/durable-state.ts'
import { readIdentity, verifyIdentity } from '../state/identity.ts'
import { receivedWalDir } from '../state/layout.ts'

/**
 * `claim`: makes sure that nobody else works on the folder, before anything in it is read that changes, or changed. Rejects as that does; with `datadir.foreign` or `datadir.broken`; with `epoch.stale` when a replaced coordinator asks: its catalog is old, and an instance in
 * the role that it names could follow the wrong copy of its content (I4).
 */
export async function openFolder(
  disk: Disk,
  clusterId: string,
  assignment: Assignment,
  claim: () => Promise<void> = () => Promise.resolve(),
): Promise<DurableState> {
  const { datadir, content, dbid } = assignment
  verifyIdentity(datadir, await readIdentity(disk, datadir), { clusterId, content, dbid })
  await claim()
  const durable = await DurableState.open(disk, datadir)
  if (assignment.epoch < durable.epoch && !judgedLater(assignment)) {
    throw new MirabelleError(
      'epoch.stale',
      `dbid ${dbid} of content ${content} has promised epoch ${durable.epoch}: it is not started by a coordinator of epoch ${assignment.epoch}, whose standby was activated`,
      { detail: { epoch: durable.epoch } },
    )
  }
  await durable.raiseEpoch(assignment.epoch)
  if (assignment.syncRep !== null) await durable.setSyncRep(assignment.syncRep)
  await durable.setAssignment((held) => withNewestSettings(assignment, held))
  await disk.makeDir(receivedWalDir(datadir))
  // The folders of promises and of WAL may have been made just now: what is durable in them counts for nothing while their names are not.
  await disk.syncDir(datadir)
  return durable
}

/** A coordinator is started by an administrator, who need not know the epoch; its own catalog says whether it has been replaced. */
function judgedLater({ content, role }: Assignment): boolean {
  return content === COORDINATOR_CONTENT && role === 'p'
}
