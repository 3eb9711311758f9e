/** The states of a walreceiver. Decides only; wal-receiver.actor.ts connects, checks, writes and waits. */
import type { ErrorCode, Lsn, MirabelleError } from '@mirabelle/messages'
import { assign, setup } from 'xstate'

export type WalReceiverEvent =
  | { type: 'connected' }
  | { type: 'identified' }
  | { type: 'started' }
  /** Anything that ends the attempt. `badLsn`: where the good WAL ended, when the WAL itself was bad. */
  | { type: 'failed'; error: MirabelleError; badLsn?: Lsn }
  | { type: 'retry' }
  | { type: 'peerChanged' }
  | { type: 'stop' }
  | { type: 'closed' }

/** After so many failures at the same position the WAL there is given up. */
export const MAX_STRIKES = 3

const FOREIGN: readonly ErrorCode[] = ['cluster.foreign', 'wrong.content', 'datadir.foreign']
/** The position does not matter: nothing that could be received makes it good. */
const HOPELESS: readonly ErrorCode[] = ['wal.rewrite', 'wal.unsynced']
/** A stream began, and that says nothing about them. */
const OF_THE_DISK: readonly ErrorCode[] = ['disk.full', 'disk.failed']
const DIVERGED: readonly ErrorCode[] = ['wal.diverged', 'wal.ahead']

interface Context {
  readonly reason: MirabelleError | null
  /** Where bad WAL was met last, and how often in a row. */
  readonly badLsn: Lsn
  readonly strikes: number
  /** Attempts in a row that did not reach streaming. */
  readonly attempts: number
}

const failures = [
  {
    guard: 'isForeign',
    target: 'foreign',
    actions: 'keepFailure',
    description: 'The sender is another content or cluster: this instance must not take its WAL.',
  },
  {
    guard: 'isDiverged',
    target: 'diverged',
    actions: 'keepFailure',
    description: 'This instance has WAL that the sender does not have: only a recovery may drop it.',
  },
  {
    guard: 'isRemoved',
    target: 'removed',
    actions: 'keepFailure',
    description: 'The sender does not have the WAL any more from which this instance must go on.',
  },
  {
    guard: 'isHopeless',
    target: 'broken',
    actions: 'keepFailure',
    description:
      'The same position was bad several times, acknowledged WAL would have to be overwritten, or what was received cannot be made durable.',
  },
  {
    target: 'waiting',
    actions: 'keepFailure',
    description: 'The attempt failed: the next one follows after a pause.',
  },
] as const

const stop = { target: 'stopping', description: 'The owner takes the mirror out of the stream.' } as const
const again = {
  target: 'connecting',
  description: 'The peer is another one now: the stream is made anew.',
} as const

export const walReceiverMachine = setup({
  types: { context: {} as Context, events: {} as WalReceiverEvent },
  guards: {
    isForeign: ({ event }) => event.type === 'failed' && FOREIGN.includes(event.error.code),
    isDiverged: ({ event }) => event.type === 'failed' && DIVERGED.includes(event.error.code),
    isRemoved: ({ event }) => event.type === 'failed' && event.error.code === 'wal.removed',
    isHopeless: ({ event, context }) =>
      event.type === 'failed' &&
      (HOPELESS.includes(event.error.code) ||
        (event.badLsn !== undefined &&
          event.badLsn === context.badLsn &&
          context.strikes + 1 >= MAX_STRIKES)),
  },
  actions: {
    connect: () => undefined,
    identify: () => undefined,
    askToStart: () => undefined,
    beginToStream: () => undefined,
    waitForRetry: () => undefined,
    giveUp: () => undefined,
    close: () => undefined,
    keepFailure: assign(({ event, context }) => {
      if (event.type !== 'failed') return {}
      const { error, badLsn } = event
      const attempts = context.attempts + 1
      if (badLsn === undefined) return { reason: error, attempts }
      return { reason: error, attempts, badLsn, strikes: badLsn === context.badLsn ? context.strikes + 1 : 1 }
    }),
    // After a failure of the disk the pauses go on growing: the next stream may end at the same place.
    forgetFailure: assign(({ context }) => ({
      reason: null,
      attempts: OF_THE_DISK.includes(context.reason?.code ?? 'internal') ? context.attempts : 0,
    })),
    forgetStrikes: assign({ reason: null, attempts: 0, strikes: 0, badLsn: 0 }),
  },
}).createMachine({
  id: 'walReceiver',
  description: 'The stream of WAL into one mirror.',
  context: { reason: null, badLsn: 0, strikes: 0, attempts: 0 },
  initial: 'connecting',
  states: {
    connecting: {
      description: 'Opens the connection to the sender, after the writer of the last attempt has ended.',
      entry: 'connect',
      on: {
        connected: { target: 'identifying', description: 'The sender holds the cluster key.' },
        failed: failures,
        peerChanged: { ...again, reenter: true },
        stop,
      },
    },
    identifying: {
      description: 'Asks the sender who it is; fetches the timeline histories that are missing here.',
      entry: 'identify',
      on: {
        identified: {
          target: 'starting',
          description: 'The sender is the right one and can go on from where this instance is.',
        },
        failed: failures,
        peerChanged: again,
        stop,
      },
    },
    starting: {
      description: 'Asks for WAL from the end of what is checked here, or from the start of its segment.',
      entry: 'askToStart',
      on: {
        started: {
          target: 'streaming',
          actions: 'forgetFailure',
          description: 'The sender begins to stream.',
        },
        failed: failures,
        peerChanged: again,
        stop,
      },
    },
    streaming: {
      description:
        'Checks each record, writes, flushes in groups, acknowledges only what is checked and durable.',
      entry: 'beginToStream',
      on: { failed: failures, peerChanged: again, stop },
    },
    waiting: {
      description: 'No connection; the next attempt comes after a pause that grows up to its limit.',
      entry: 'waitForRetry',
      on: {
        retry: { target: 'connecting', description: 'The pause is over.' },
        peerChanged: again,
        stop,
      },
    },
    diverged: {
      description:
        'This instance has WAL beyond the fork or the end of the sender. Nothing is overwritten; a recovery decides.',
      entry: 'giveUp',
      on: { peerChanged: { ...again, actions: 'forgetStrikes' }, stop },
    },
    removed: {
      description:
        'The sender lacks WAL that this instance needs: a differential or full copy brings it back.',
      entry: 'giveUp',
      on: { peerChanged: { ...again, actions: 'forgetStrikes' }, stop },
    },
    foreign: {
      description:
        'The sender belongs to another cluster or content. Someone has to look at the configuration.',
      entry: 'giveUp',
      on: { peerChanged: { ...again, actions: 'forgetStrikes' }, stop },
    },
    broken: {
      description: 'Good WAL cannot be had from the sender at one position. Nothing bad was acknowledged.',
      entry: 'giveUp',
      on: { peerChanged: { ...again, actions: 'forgetStrikes' }, stop },
    },
    stopping: {
      description: 'Takes no more bytes; the flush in flight ends, files and connection are closed.',
      entry: 'close',
      on: {
        closed: {
          target: 'stopped',
          description: 'Everything is closed; the end of the received WAL is final.',
        },
        stop: { description: 'It is stopping already.' },
      },
    },
    stopped: { type: 'final', description: 'It does nothing any more.' },
  },
})
