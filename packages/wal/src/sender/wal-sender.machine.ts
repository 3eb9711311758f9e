/** The states of one walsender, as pg_stat_replication shows them. Decides only; wal-sender.actor.ts reads, sends and closes. */
import type { MirabelleError } from '@mirabelle/messages'
import { assign, setup } from 'xstate'

export type WalSenderEvent =
  | { type: 'started' }
  | { type: 'caughtUp' }
  | { type: 'fellBehind' }
  | { type: 'stop'; reason: MirabelleError }
  | { type: 'closed'; reason: MirabelleError }

export const walSenderMachine = setup({
  types: {
    context: {} as { reason: MirabelleError | null },
    events: {} as WalSenderEvent,
  },
  actions: {
    readFromFiles: () => undefined,
    sendFromMemory: () => undefined,
    drainAndClose: () => undefined,
    release: () => undefined,
    keepReason: assign({
      reason: ({ event, context }) =>
        context.reason ?? (event.type === 'stop' || event.type === 'closed' ? event.reason : null),
    }),
  },
}).createMachine({
  id: 'walSender',
  description: 'One stream of WAL from a primary to one mirror.',
  context: { reason: null },
  initial: 'startup',
  states: {
    startup: {
      description:
        'Connected: the walreceiver identifies itself and asks where to start. No WAL has been sent.',
      on: {
        started: {
          target: 'catchup',
          description: 'The start was granted: WAL that is in files already is sent first.',
        },
        stop: { target: 'stopping', actions: 'keepReason', description: 'The stream is to end.' },
        closed: {
          target: 'ended',
          actions: 'keepReason',
          description: 'The connection ended before the start.',
        },
      },
    },
    catchup: {
      description:
        'Reads WAL from files and sends it, never more than the window ahead of what the mirror has written.',
      entry: 'readFromFiles',
      on: {
        caughtUp: {
          target: 'streaming',
          description:
            'The mirror was sent all WAL that is published: from now on it comes straight from memory.',
        },
        stop: { target: 'stopping', actions: 'keepReason', description: 'The stream is to end.' },
        closed: {
          target: 'ended',
          actions: 'keepReason',
          description: 'The connection ended during catch-up.',
        },
      },
    },
    streaming: {
      description: 'Each piece of WAL goes out in the turn of the event loop in which the engine wrote it.',
      entry: 'sendFromMemory',
      on: {
        fellBehind: {
          target: 'catchup',
          description:
            'The mirror is slower than the WAL that is written: nothing is queued for it, it reads from files again.',
        },
        stop: { target: 'stopping', actions: 'keepReason', description: 'The stream is to end.' },
        closed: {
          target: 'ended',
          actions: 'keepReason',
          description: 'The connection to the mirror ended.',
        },
      },
    },
    stopping: {
      description: 'What was queued leaves, then the connection is closed. Flush replies still count.',
      entry: 'drainAndClose',
      on: {
        closed: { target: 'ended', actions: 'keepReason', description: 'The stream was ended on purpose.' },
        stop: { description: 'It is ending already.' },
      },
    },
    ended: {
      description: 'The connection is closed; the row disappears from pg_stat_replication.',
      entry: 'release',
      type: 'final',
    },
  },
})
