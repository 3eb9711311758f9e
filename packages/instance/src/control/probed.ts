/** The answer to fts.probe, segment.promote and segment.syncRepOff (replication §3). Pure. */
import type { Lsn, MessageOf, Timeline } from '@mirabelle/messages'
import type { MirrorHealth } from '../probe/mirror-health.ts'
import type { RoleState } from '../role/instance-role.machine.ts'

export interface ProbedInput {
  readonly roleState: RoleState
  /** The role that the instance was started in. */
  readonly assignedRole: 'p' | 'm'
  /** What the primary knows of its mirror; undefined while it is not (yet) primary. */
  readonly health: MirrorHealth | undefined
  readonly syncRep: boolean
  readonly replayLsn: Lsn
  readonly flushLsn: Lsn
  readonly timeline: Timeline
}

/** As Greenplum: a mirror says only that it is one; everything else is false. */
export function probed(input: ProbedInput): MessageOf<'fts.probed'> {
  const { health, roleState } = input
  const recovering = roleState === 'starting' || roleState === 'promoting'
  return {
    type: 'fts.probed',
    isMirrorUp: health?.isMirrorUp ?? false,
    isInSync: health?.isInSync ?? false,
    isSyncRepEnabled: roleState === 'primary' && input.syncRep,
    isRoleMirror:
      roleState === 'mirror' ||
      roleState === 'copying' ||
      roleState === 'unfit' ||
      (roleState === 'starting' && input.assignedRole === 'm'),
    // While it recovers nothing can be said of the mirror: nobody shall mark it down because of that.
    requestRetry: health?.requestRetry ?? recovering,
    recovering,
    replayLsn: input.replayLsn,
    flushLsn: input.flushLsn,
    timeline: input.timeline,
    roleState,
  }
}
