/** What FTS asks of instances, and the answers (replication §3). The asker is the coordinator, on a `control` connection. */
import { define } from './define.ts'
import * as f from './field.ts'

const mirrorStatus = {
  isMirrorUp: f.bool('a walreceiver of the mirror is connected and past its start'),
  isInSync: f.bool('it streams and has flushed all that commits wait for'),
  isSyncRepEnabled: f.bool('commits wait for the mirror'),
  isRoleMirror: f.bool('this instance acts as a mirror'),
  requestRetry: f.bool('the mirror has just gone: ask again within the grace period'),
}

export const ftsMessages = {
  'fts.probe': define('Are you alive and how is your mirror? Also runs the disk check.', 'fts.probed', {
    dbid: f.dbid('who is meant'),
    content: f.content('its content'),
    epoch: f.epoch('of the asking coordinator'),
    mirror: f.nullable(f.dbid('the mirror in the catalog: of another one nothing is said')),
  }),
  'fts.probed': define('Answer to fts.probe, segment.promote and segment.syncRepOff.', null, {
    ...mirrorStatus,
    recovering: f.bool('the instance is starting: crash recovery or promotion is under way'),
    replayLsn: f.lsn('how far replay has come; it advances while recovery makes progress'),
    flushLsn: f.lsn('end of durable WAL'),
    timeline: f.timeline('current timeline'),
    roleState: f.text('state of the role machine'),
  }),
  'segment.promote': define(
    'Become primary. Idempotent: a primary just answers. Completion is not awaited.',
    'fts.probed',
    {
      dbid: f.dbid('who is meant'),
      content: f.content('its content'),
      epoch: f.epoch('of the asking coordinator'),
    },
  ),
  'segment.syncRepOff': define('The mirror is recorded down: stop waiting for it (I3).', 'fts.probed', {
    dbid: f.dbid('who is meant'),
    content: f.content('its content'),
    epoch: f.epoch('of the asking coordinator'),
  }),
  'epoch.promise': define(
    'Promise to obey no coordinator of a lower epoch. Persisted before the answer.',
    'epoch.promised',
    {
      dbid: f.dbid('who is meant'),
      content: f.content('its content'),
      epoch: f.epoch('the epoch to promise'),
    },
  ),
  'epoch.promised': define('The promise is durable.', null, {
    epoch: f.epoch('highest epoch promised'),
    isRoleMirror: f.bool('this instance acts as a mirror'),
    standbyStale: f.bool(
      'the last coordinator went on without its standby: activating that one would lose its changes',
    ),
    timeline: f.timeline('current timeline'),
    flushLsn: f.lsn('end of durable WAL'),
  }),
  'standby.mark': define(
    'The coordinator records, on instances that outlive it, whether its standby has all of its WAL. Persisted before the answer.',
    'standby.marked',
    {
      epoch: f.epoch('of the asking coordinator'),
      stale: f.bool('true before commits stop waiting for the standby, false when it has caught up'),
    },
  ),
  'standby.marked': define('The mark is durable.', null, { stale: f.bool('what is recorded now') }),
} as const
