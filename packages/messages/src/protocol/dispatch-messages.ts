/** Statements on their way to a segment and back (sql §1, §2). The coordinator connects, purpose `dispatch`. */
import { settledEntry } from './common.ts'
import { define } from './define.ts'
import * as f from './field.ts'

/** Bits of the flags of a dispatched statement. */
export const DispatchFlag = {
  /** Its output goes out in pieces. */
  stream: 1,
  /** It belongs to a transaction that an earlier statement has opened: it does not run outside of one. */
  inTransaction: 2,
  /** What comes behind it relies on its success: an error of it ends PostgreSQL (COMMIT PREPARED). */
  mustSucceed: 4,
  /** The first part of its preamble brings about the session's settings, for itself and for those behind it. */
  setsSettings: 8,
  /** It counts on the settings that the last one before it with `setsSettings` has brought about, or on those of a fresh backend: it does not run without them. */
  needsSettings: 16,
} as const

export const dispatchMessages = {
  'dispatch.open': define(
    'Opens the lane of a content. Refused with not.primary, epoch.stale, wrong.content.',
    'dispatch.opened',
    {
      dbid: f.dbid('who is meant'),
      content: f.content('its content'),
      epoch: f.epoch('of the coordinator'),
      incarnation: f.text('names this run of the coordinator; sequence numbers belong to it'),
      nextSeq: f.uint('the number that the next statement will have'),
    },
  ),
  'dispatch.opened': define('The lane is open.', null, {
    timeline: f.timeline('current timeline'),
    lsn: f.lsn('end of WAL'),
    generation: f.uint('generation of the backend: what an older one had prepared or set is gone'),
    settledFloor: f.uint('below this number nothing is known of settled statements of the incarnation'),
  }),
  'query.dispatch': define('Statements to run in this order; one frame carries all that is ready.', null, {
    items: f.list(
      f.tuple(
        [
          f.uint('dispatch seq'),
          f.uint('ReadyForQuery answers in all'),
          f.uint('ReadyForQuery answers of the preamble'),
          f.uint(
            'flags: 1 = stream the output, 2 = not outside a transaction, 4 = must succeed, 8 = sets the settings, 16 = needs those that were set last',
          ),
          f.bytes('frontend messages'),
        ],
        'a statement',
      ),
      'in the order of the lane',
    ),
  }),
  'query.done': define(
    'Statements that have run and whose WAL is durable here and, while that is on, at the mirror (I1).',
    null,
    {
      items: f.list(
        f.tuple(
          [
            f.uint('dispatch seq'),
            f.lsn('end of WAL after it'),
            f.oneOf(['I', 'T', 'E'], 'transaction status'),
            f.uint('generation of the backend'),
            f.bytes('backend messages'),
          ],
          'an answer',
        ),
        'in order',
      ),
    },
  ),
  'query.failed': define(
    'A statement that did not run to its end: cancelled, the engine died, the lane is closed.',
    null,
    {
      seq: f.uint('dispatch seq'),
      code: f.text('code of the error page'),
      message: f.text('sentence'),
    },
  ),
  'query.output': define('A piece of a big answer.', null, {
    seq: f.uint('dispatch seq'),
    chunk: f.bytes('backend messages'),
  }),
  'query.credit': define('The coordinator has passed pieces on: so many bytes may follow.', null, {
    seq: f.uint('dispatch seq'),
    bytes: f.uint('bytes'),
  }),
  'query.cancel': define('Cancel this statement (57014 when it was still running or waiting).', null, {
    seq: f.uint('dispatch seq'),
  }),
  'dispatch.hasRun': define(
    'Is PostgreSQL done with this statement, whose answer has not come? Asked before others are told not to wait for it.',
    'dispatch.hasRunIs',
    { seq: f.uint('dispatch seq') },
  ),
  'dispatch.hasRunIs': define('How far it is.', null, {
    hasRun: f.bool(
      'true: its answer waits for WAL to be durable at the mirror, or is on its way; false: it runs, or waits for its turn',
    ),
  }),
  'dispatch.settled': define(
    'After a failover: which of these statements took effect?',
    'dispatch.settledAre',
    {
      incarnation: f.text('of the coordinator that dispatched them'),
      seqs: f.list(f.uint('dispatch seq'), 'statements in flight when the lane broke'),
    },
  ),
  'dispatch.settledAre': define('What this instance knows of them.', null, {
    floor: f.uint('for numbers below it nothing is known'),
    settled: f.list(settledEntry, 'those that took effect; the others at or above the floor did not'),
  }),
} as const
