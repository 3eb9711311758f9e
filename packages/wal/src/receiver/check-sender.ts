/** Makes sure that the sender is the one this mirror belongs to. */
import { MirabelleError } from '@mirabelle/messages'
import type { Dbid, MessageOf } from '@mirabelle/messages'
import type { WalReceiverOptions } from '../api.ts'

/** Throws `cluster.foreign`, `wrong.content` or `datadir.foreign` (for good), or `not.primary` (for now). */
export function checkSender(
  sender: MessageOf<'wal.identified'>,
  identity: WalReceiverOptions['identity'],
  peerDbid: Dbid,
): void {
  const who = `the sender, dbid ${sender.dbid} of content ${sender.content},`
  const me = `dbid ${identity.dbid} of content ${identity.content}`
  if (sender.clusterId !== identity.clusterId)
    throw new MirabelleError(
      'cluster.foreign',
      `${who} belongs to cluster ${sender.clusterId}, ${me} to ${identity.clusterId}`,
    )
  if (sender.content !== identity.content || sender.dbid !== peerDbid)
    throw new MirabelleError(
      'wrong.content',
      `${who} is not dbid ${peerDbid} of content ${identity.content} whose mirror is ${me}`,
    )
  const { systemIdentifier } = identity
  const known = systemIdentifier !== undefined && systemIdentifier !== '' && sender.systemIdentifier !== ''
  if (known && systemIdentifier !== sender.systemIdentifier)
    throw new MirabelleError(
      'datadir.foreign',
      `${who} has system identifier ${sender.systemIdentifier}, ${me} has ${systemIdentifier}: the directories were not made from each other`,
    )
  if (!sender.isPrimary) throw new MirabelleError('not.primary', `${who} does not act as primary`)
}
