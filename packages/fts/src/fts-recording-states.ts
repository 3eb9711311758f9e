/** The states in which something is being made durable that asks for no message afterwards. */
import { ftsTimes } from './fts-content-model.ts'
import { ftsContentSetup, pairIn } from './fts-content-setup.ts'
import { again, onRecordFailed, up } from './fts-decision-table.ts'
import { backUpRecord, doubleFaultRecord, downRecord, mirrorUpRecord } from './fts-pair.ts'

export const recordingInSync = ftsContentSetup.createStateConfig({
  description: 'Mirror u, both s is made durable: from then on the mirror may be promoted.',
  entry: { type: 'record', params: ({ context }) => mirrorUpRecord(pairIn(context), 's') },
  on: {
    RECORDED: { target: 'idle', actions: ['rememberPair'], description: 'The pair is in sync.' },
    RECORD_FAILED: onRecordFailed,
  },
})

export const recordingOutOfSync = ftsContentSetup.createStateConfig({
  description: 'Mirror u, both n is made durable: the mirror is connected but must not be promoted.',
  entry: { type: 'record', params: ({ context }) => mirrorUpRecord(pairIn(context), 'n') },
  on: {
    RECORDED: {
      target: 'idle',
      actions: ['rememberPair', { type: 'recheck', params: { inMs: ftsTimes.recoveringMs } }],
      description: 'The mirror is up and catches up: look again soon.',
    },
    RECORD_FAILED: onRecordFailed,
  },
})

export const recordingDoubleFault = ftsContentSetup.createStateConfig({
  description: 'The double fault is written into the history, once per episode. No row changes.',
  entry: { type: 'record', params: ({ context }) => doubleFaultRecord(pairIn(context)) },
  on: {
    RECORDED: {
      target: 'idle',
      actions: ['faultBegins', { type: 'setHealth', params: { health: 'double-fault' } }, again],
      description: 'Double fault: an administrator has to start an instance.',
    },
    RECORD_FAILED: {
      target: 'idle',
      actions: [{ type: 'setHealth', params: { health: 'double-fault' } }, again],
      description: 'Double fault, and the history could not be written: that is tried again.',
    },
  },
})

export const recordingDown = ftsContentSetup.createStateConfig({
  description: 'A content without mirror is down: that is written into the history, once per episode.',
  entry: { type: 'record', params: ({ context }) => downRecord(pairIn(context)) },
  on: {
    RECORDED: [
      {
        guard: 'shutdownWhenMirrorless',
        target: 'idle',
        actions: [
          'faultBegins',
          { type: 'setHealth', params: { health: 'down' } },
          again,
          { type: 'askForShutdown', params: ({ context }) => ({ row: pairIn(context).primary }) },
        ],
        description: 'Down, and mirrorless_policy says that the cluster shuts down.',
      },
      {
        target: 'idle',
        actions: ['faultBegins', { type: 'setHealth', params: { health: 'down' } }, again],
        description: 'Down: statements that need it are refused until it is started again.',
      },
    ],
    RECORD_FAILED: {
      target: 'idle',
      actions: [{ type: 'setHealth', params: { health: 'down' } }, again],
      description: 'Down, and the history could not be written: that is tried again.',
    },
  },
})

export const recordingBackUp = ftsContentSetup.createStateConfig({
  description: 'The end of a double fault, or of being down, is written into the history.',
  entry: { type: 'record', params: ({ context }) => backUpRecord(pairIn(context)) },
  on: {
    RECORDED: {
      target: 'probing',
      actions: ['faultEnds', up],
      description: 'The fault is over: ask again what there is to do.',
    },
    RECORD_FAILED: onRecordFailed,
  },
})
