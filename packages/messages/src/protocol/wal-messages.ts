/** Walsender and walreceiver (replication §1). The walreceiver connects, purpose `wal`. */
import { historyEntry, settledEntry } from './common.ts'
import { define } from './define.ts'
import * as f from './field.ts'

export const walMessages = {
  'wal.identify': define('Who are you and where does your WAL stand?', 'wal.identified', {
    dbid: f.dbid('the asking instance'),
    content: f.content('its content'),
  }),
  'wal.identified': define('The sender introduces itself.', null, {
    clusterId: f.text('cluster id of its data directory'),
    content: f.content('its content'),
    dbid: f.dbid('its dbid'),
    systemIdentifier: f.text("PostgreSQL's system identifier"),
    timeline: f.timeline('current timeline'),
    flushLsn: f.lsn('end of its WAL'),
    oldestLsn: f.lsn('start of the oldest WAL segment that it still has'),
    history: f.list(historyEntry, 'ancestors of the timeline, oldest first'),
    isPrimary: f.bool('acts as primary'),
  }),
  'wal.start': define(
    'Stream from here. Refused with wal.removed, wal.diverged, wal.ahead, wrong.content, not.primary, epoch.stale.',
    'wal.started',
    {
      dbid: f.dbid('the asking instance'),
      content: f.content('its content'),
      slot: f.text('name of the replication slot'),
      startLsn: f.lsn(
        'first byte wanted (start of a WAL segment, or the end of what the receiver has checked)',
      ),
      receivedEnd: f.lsn(
        'end of the checked WAL that the receiver already has; must not lie beyond the fork or the end of the sender',
      ),
      timeline: f.timeline('timeline that the receiver is on'),
      epoch: f.epoch('highest epoch that the receiver promised'),
    },
  ),
  'wal.started': define('Streaming begins; wal.data follows.', null, {
    timeline: f.timeline('timeline of the bytes that follow'),
    startLsn: f.lsn('first byte that will come'),
    flushLsn: f.lsn('end of WAL now'),
    history: f.list(historyEntry, 'ancestors of the timeline, oldest first'),
    incarnation: f.text('the coordinator incarnation that the settled numbers belong to, or empty'),
    settledFloor: f.uint(
      'statements with a number at or above this one are told by `settled` or have not taken effect',
    ),
    settled: f.list(settledEntry, 'statements from the floor on that are complete already'),
  }),
  'wal.data': define('Contiguous WAL. One frame carries all that is ready, 1 MiB at most.', null, {
    timeline: f.timeline('timeline of the bytes'),
    startLsn: f.lsn('position of the first byte'),
    endLsn: f.lsn("end of the sender's WAL at the time"),
    sentAt: f.num("sender's clock, ms; comes back in wal.flushed"),
    bytes: f.bytes('WAL as PostgreSQL wrote it'),
    incarnation: f.text('the coordinator incarnation that the settled numbers belong to, or empty'),
    settledFloor: f.uint(
      'as in wal.started; it has risen when a statement was forgotten before it could be told',
    ),
    settled: f.list(
      settledEntry,
      'statements complete at an LSN within these bytes or soon after; never told later than their WAL',
    ),
  }),
  'wal.flushed': define('The receiver has checked and fsynced WAL.', null, {
    timeline: f.timeline('timeline'),
    writeLsn: f.lsn('written'),
    flushLsn: f.lsn('checked (CRC) and durable'),
    replayLsn: f.lsn('replayed'),
    sentAt: f.num('sentAt of the newest wal.data or wal.keepalive that this answers, 0 for none'),
  }),
  'wal.keepalive': define('Sent in either direction when there was nothing else to say.', null, {
    endLsn: f.lsn("end of the sender's WAL (0 from a receiver)"),
    sentAt: f.num('clock, ms'),
    replyRequested: f.bool('answer with wal.flushed at once'),
  }),
  'wal.history': define('Asks for a timeline history file.', 'wal.historyFile', {
    timeline: f.timeline('which'),
  }),
  'wal.historyFile': define('The content of a timeline history file.', null, {
    timeline: f.timeline('which'),
    bytes: f.bytes('its content'),
  }),
} as const
