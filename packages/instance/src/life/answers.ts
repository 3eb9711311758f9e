/** What an instance says of itself: to FTS, and to whoever asks how it is. Nothing here waits. */
import { isMirabelleError, type Dbid, type MessageOf } from '@mirabelle/messages'
import { probed } from '../control/probed.ts'
import { NO_MIRROR } from '../probe/mirror-health.ts'
import type { InstanceCore } from './instance-core.ts'

/** The other half of the pair, as the instance was told; null without one. */
export function mirrorDbidOf(core: InstanceCore): Dbid | null {
  return core.assignment.peer?.dbid ?? null
}

/** The answer to FTS, which thinks that `mirror` is the mirror. */
export function probedAs(core: InstanceCore, mirror: Dbid | null): MessageOf<'fts.probed'> {
  const health = core.state === 'primary' ? core.primary?.health() : undefined
  return probed({
    roleState: core.state,
    assignedRole: core.assignment.role,
    // What the primary knows of its old mirror must never pass for a mirror that has taken its place (I2).
    health: mirror === mirrorDbidOf(core) || health === undefined ? health : NO_MIRROR,
    syncRep: isSyncRep(core),
    replayLsn: core.replayLsn,
    flushLsn: core.flushLsn,
    timeline: core.timeline,
  })
}

export function statusOf(core: InstanceCore): MessageOf<'instance.statusIs'> {
  const { mirror, primary, durableIfOpen } = core
  const info = core.options.processInfo?.() ?? { pid: 0, rssBytes: 0, version: '' }
  const stream = mirror?.receiver?.reason
  const diskFull = isMirabelleError(stream, 'disk.full') ? stream.message : ''
  const details = [core.role.reason, core.detail, diskFull, mirror?.refresh?.doing, core.hooks.detail?.()]
  return {
    type: 'instance.statusIs',
    dbid: core.dbid,
    content: core.content,
    pid: info.pid,
    roleState: core.state,
    role: actingRole(core),
    epoch: durableIfOpen?.epoch ?? 0,
    timeline: core.timeline,
    flushLsn: core.flushLsn,
    replayLsn: core.replayLsn,
    baseLsn: mirror?.baseLsn ?? 0,
    baseRefreshedAt: mirror?.refresh?.refreshedAt ?? null,
    slotLsn: primary?.slotLsn ?? 0,
    syncRep: isSyncRep(core),
    startedAt: core.startedAt,
    rssBytes: info.rssBytes,
    version: info.version,
    detail: details.filter((one) => one !== undefined && one !== '').join('; '),
    copy: core.copyState,
    diskFree: core.diskSpace.free,
    replication: primary?.hub.replicationRows() ?? [],
  }
}

function isSyncRep({ primary, durableIfOpen }: InstanceCore): boolean {
  return primary?.gate.syncRep ?? durableIfOpen?.syncRep === true
}

function actingRole({ state, assignment }: InstanceCore): 'p' | 'm' {
  if (state === 'primary' || state === 'promoting') return 'p'
  if (state === 'mirror' || state === 'copying' || state === 'unfit') return 'm'
  return assignment.role
}
