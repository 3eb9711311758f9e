/**
 * The role of one instance: primary, mirror, or on the way from one to the other (replication §2, §3). The same machine runs in every
 * segment and in both halves of content -1.
 *
 * Started by the instance actor with the process; ends in `stopped` or `failed`, and the process with it. It only decides: the
 * actor performs what entering a state asks for. What may be asked of an instance in each state is in `accepts.ts`.
 */
import { assign, setup } from 'xstate'
import type { ErrorCode, Role, Timeline } from '@mirabelle/messages'

export interface RoleInput {
  readonly role: Role
}

export interface RoleContext {
  /** The role that the assignment asked for. */
  readonly assignedRole: Role
  /** PROMOTE came while the instance could not do it yet. */
  readonly promotePending: boolean
  readonly timeline: Timeline
  /** Why the instance is in this state, for `state` and the log; empty when nothing is special. */
  readonly reason: string
  /** Code that goes with the reason in unfit, fenced and failed. */
  readonly code: ErrorCode | null
}

export type RoleEvent =
  /** The engine runs, as primary. */
  | { readonly type: 'engine.primary'; readonly timeline: Timeline }
  /** The engine runs and replays. */
  | { readonly type: 'engine.mirror'; readonly timeline: Timeline }
  /** PROMOTE from FTS, the activation of a standby, or a start as primary of a folder that is still a mirror's. */
  | { readonly type: 'promote' }
  /** The base of the data directory has to be copied from the peer. */
  | { readonly type: 'copy'; readonly reason: string }
  /** The copy is complete; the engine is to be started on it. */
  | { readonly type: 'copy.done' }
  /** The walreceiver says that WAL of the peer does not continue ours, and the assignment does not allow a copy. */
  | { readonly type: 'unfit'; readonly code: ErrorCode; readonly reason: string }
  /** Somebody else is primary, or a coordinator of a higher epoch has taken over. */
  | { readonly type: 'fence'; readonly code: ErrorCode; readonly reason: string }
  | { readonly type: 'stop'; readonly reason: string }
  | { readonly type: 'stop.done' }
  /** The engine died, a disk failed, a promise inside the program broke. */
  | { readonly type: 'fail'; readonly code: ErrorCode; readonly reason: string }

export const instanceRoleMachine = setup({
  types: {} as { context: RoleContext; events: RoleEvent; input: RoleInput },
  guards: {
    promotePending: ({ context }) => context.promotePending,
  },
  actions: {
    rememberPromote: assign({ promotePending: true }),
    rememberTimeline: assign({
      timeline: ({ event, context }) => ('timeline' in event ? event.timeline : context.timeline),
      promotePending: false,
      reason: '',
      code: null,
    }),
    rememberReason: assign({
      reason: ({ event }) => ('reason' in event ? event.reason : ''),
      code: ({ event }) => ('code' in event ? event.code : null),
    }),
    forgetReason: assign({ reason: '', code: null }),
  },
}).createMachine({
  id: 'instanceRole',
  description: 'Role of one instance.',
  context: ({ input }) => ({
    assignedRole: input.role,
    promotePending: false,
    timeline: 1,
    reason: '',
    code: null,
  }),
  initial: 'starting',
  on: {
    fail: {
      target: '.failed',
      actions: 'rememberReason',
      description: 'what the instance needs to keep its promises is gone',
    },
    stop: {
      target: '.stopping',
      actions: 'rememberReason',
      description: 'an administrator, the agent or the coordinator stops the instance',
    },
  },
  states: {
    starting: {
      description:
        'PostgreSQL starts: crash recovery of a primary, or the beginning of replay. Nothing is answered but probes (recovering) and promises. No statement runs.',
      on: {
        'engine.primary': {
          target: 'primary',
          actions: 'rememberTimeline',
          description: 'crash recovery is over',
        },
        'engine.mirror': [
          {
            guard: 'promotePending',
            target: 'promoting',
            actions: 'rememberTimeline',
            description: 'replay has begun, and PROMOTE had come before',
          },
          { target: 'mirror', actions: 'rememberTimeline', description: 'replay has begun' },
        ],
        promote: { actions: 'rememberPromote', description: 'PROMOTE is kept until replay has begun' },
        copy: {
          target: 'copying',
          actions: 'rememberReason',
          description: 'the folder has no base, or a copy was asked for',
        },
        unfit: {
          target: 'unfit',
          actions: 'rememberReason',
          description: 'WAL of the folder does not fit the peer',
        },
      },
    },
    primary: {
      description:
        'Open for writing; the only instance of its content that answers dispatch (I4). Answers pass the commit gate (I1).',
      on: {
        promote: { description: 'PROMOTE again: already done' },
        fence: {
          target: 'fenced',
          actions: 'rememberReason',
          description: 'another instance acts as primary of the content, or a newer coordinator rules',
        },
      },
    },
    mirror: {
      description:
        'Receives WAL, acknowledges what is checked and durable (I8), replays it, and can be promoted at any moment. Answers no statement.',
      on: {
        promote: { target: 'promoting', description: 'FTS or an administrator makes this copy the primary' },
        'engine.mirror': {
          actions: 'rememberTimeline',
          description: 'replay was restarted to follow a new timeline of the primary',
        },
        copy: {
          target: 'copying',
          actions: 'rememberReason',
          description: 'WAL of the peer does not continue ours; the assignment allows a copy',
        },
        unfit: {
          target: 'unfit',
          actions: 'rememberReason',
          description: 'WAL of the peer does not continue ours; the assignment does not allow a copy',
        },
      },
    },
    promoting: {
      description:
        'Recovery is being ended at the last valid record received. Synchronous replication is switched off, durably, so that commits of the new primary do not hang. No statement runs yet.',
      on: {
        promote: { description: 'PROMOTE again: under way' },
        'engine.primary': {
          target: 'primary',
          actions: 'rememberTimeline',
          description: 'open for writing on a new timeline',
        },
      },
    },
    copying: {
      description:
        'The base of the data directory is being copied from the primary. Until that is complete the folder is no copy of anything and cannot be promoted.',
      on: {
        'copy.done': {
          target: 'starting',
          actions: 'forgetReason',
          description: 'the base is complete; replay starts on it',
        },
      },
    },
    unfit: {
      description:
        'A mirror that cannot follow its primary: its WAL goes beyond the fork, or what it lacks was removed. It receives nothing and cannot be promoted; recover it with a differential or full copy.',
      on: {
        copy: {
          target: 'copying',
          actions: 'rememberReason',
          description: 'a recovery that may copy was asked for',
        },
      },
    },
    fenced: {
      description:
        'Was primary and must not be any more. Answers nothing as primary and releases no answer that was waiting; what waited fails. Ends when it is stopped or started anew as mirror.',
    },
    stopping: {
      description: 'No new work; what runs ends as the stop mode says; PostgreSQL is being stopped.',
      on: {
        stop: {
          actions: 'rememberReason',
          description: 'a second stop, possibly in a faster mode',
        },
        'stop.done': { target: 'stopped', description: 'PostgreSQL has ended and the lock is given back' },
      },
    },
    stopped: {
      type: 'final',
      description: 'The data directory is at rest and unlocked; the process ends with status 0.',
    },
    failed: {
      type: 'final',
      description:
        'Nothing is promised any more and nothing is answered; the process ends with a status other than 0 and may be started again.',
    },
  },
})

/** The states of the role machine. */
export type RoleState =
  | 'starting'
  | 'primary'
  | 'mirror'
  | 'promoting'
  | 'copying'
  | 'unfit'
  | 'fenced'
  | 'stopping'
  | 'stopped'
  | 'failed'
