/**
 * The machine of one content (replication §3): idle between cycles, one walk through the decision table per cycle. It decides only;
 * `fts-content.actor.ts` sends, records and waits. It lives as long as the prober, so that it remembers double faults and recoveries.
 *
 * I2: `recordingFailover` is entered only when both rows say `s`. I3: PROMOTE and SYNCREP_OFF are sent only from states that are entered
 * by RECORDED, or when the catalog read in this cycle already says what the record would have said.
 */
import type { SegmentRow } from '@mirabelle/messages'
import { ftsTimes, initialContext, type FtsContext } from './fts-content-model.ts'
import { ftsContentSetup, mirrorIn, pairIn } from './fts-content-setup.ts'
import {
  again,
  fenceOldPrimary,
  onAnswered,
  onMirrorDeath,
  onNoAnswer,
  onPairChanged,
  onPrimaryDeath,
  onRecordFailed,
  onSuperseded,
} from './fts-decision-table.ts'
import { failoverRecord, mirrorDownRecord } from './fts-pair.ts'
import * as recordingStates from './fts-recording-states.ts'

/** What a durable failover changes in memory, and whom it ends. */
const failedOver = [
  'rememberPair',
  'beginMessage',
  'mirrorDeathRefuted',
  'recoveryForgotten',
  fenceOldPrimary,
  { type: 'setHealth', params: { health: 'failing-over' } },
] as const

/** FTS's view of one content. Start it with `initialTransition`. */
export const ftsContentMachine = ftsContentSetup.createMachine({
  id: 'fts-content',
  description: 'FTS: health of one content and what is done about it.',
  context: ({ input }) => initialContext(input.content),
  initial: 'idle',
  states: {
    idle: {
      description: 'Between cycles. Nothing is awaited.',
      on: {
        CYCLE: [
          {
            guard: 'startsDead',
            target: 'confirmingDeath',
            actions: ['beginCycle'],
            description: 'A death certificate of the acting primary has come.',
          },
          { target: 'probing', actions: ['beginCycle'], description: 'A cycle begins.' },
        ],
      },
    },
    probing: {
      description: 'The acting primary has been asked; an attempt ends within gp_fts_probe_timeout.',
      entry: {
        type: 'sendProbe',
        params: ({ context }) => ({
          row: pairIn(context).primary,
          timeoutMs: context.limits.probeTimeoutMs,
        }),
      },
      on: {
        ANSWERED: onAnswered,
        FAILED: [
          onSuperseded,
          {
            guard: 'ownStallForgiven',
            target: 'probing',
            reenter: true,
            actions: ['countOwnStall'],
            description: 'This process itself stood still during the attempt: it proves nothing, ask again.',
          },
          ...onNoAnswer,
        ],
        DEATH: [onPrimaryDeath, onMirrorDeath],
        PAIR_CHANGED: onPairChanged,
      },
    },
    retryWait: {
      description: 'Between two probes of one cycle.',
      entry: { type: 'startRetryTimer', params: { delayMs: ftsTimes.retryGapMs } },
      exit: { type: 'clearRetryTimer', params: undefined },
      on: {
        RETRY_DUE: { target: 'probing', description: 'The next attempt.' },
        DEATH: [
          onPrimaryDeath,
          {
            target: 'probing',
            actions: ['mirrorIsDead'],
            description:
              'The mirror is certainly gone: ask the primary at once, the grace period does not apply.',
          },
        ],
      },
    },
    confirmingDeath: {
      description:
        'The process of the acting primary is certainly gone. One short probe makes sure that no newer process serves in its place.',
      entry: {
        type: 'sendProbe',
        params: ({ context }) => ({
          row: pairIn(context).primary,
          timeoutMs: Math.min(context.limits.probeTimeoutMs, ftsTimes.confirmTimeoutMs),
        }),
      },
      on: {
        ANSWERED: onAnswered,
        FAILED: [onSuperseded, ...onNoAnswer],
        DEATH: onMirrorDeath,
        PAIR_CHANGED: onPairChanged,
      },
    },
    checkingMirror: {
      description:
        'The primary does not answer and its mirror was reported dead. The mirror is asked before anything is decided: a corpse is not promoted.',
      entry: {
        type: 'sendProbe',
        params: ({ context }) => ({ row: mirrorIn(context), timeoutMs: context.limits.probeTimeoutMs }),
      },
      on: {
        ANSWERED: [
          {
            guard: 'answersAsMirror',
            target: 'recordingFailover',
            actions: ['rememberPair', 'mirrorDeathRefuted'],
            description: 'The mirror lives: fail over.',
          },
          {
            guard: 'faultKnown',
            target: 'idle',
            actions: ['rememberPair', 'faultStays', again],
            description: 'The mirror cannot take over, as the history already says.',
          },
          {
            target: 'recordingDoubleFault',
            actions: ['rememberPair'],
            description: 'Something answers, but not as a mirror in sync.',
          },
        ],
        FAILED: [
          onSuperseded,
          {
            guard: 'faultKnown',
            target: 'idle',
            actions: ['rememberPair', 'faultStays', again],
            description: 'Still neither answers, as the history already says.',
          },
          { target: 'recordingDoubleFault', actions: ['rememberPair'], description: 'Neither answers.' },
        ],
        PAIR_CHANGED: onPairChanged,
      },
    },
    recordingFailover: {
      description:
        'One transaction is made durable: old primary m,d,n and mirror p,u,n (I3). Nobody has been told anything.',
      entry: { type: 'record', params: ({ context }) => failoverRecord(pairIn(context)) },
      on: {
        RECORDED: [
          {
            guard: 'mirrorIsDead',
            target: 'confirmingDeath',
            actions: [...failedOver, 'primaryIsDead'],
            description:
              'The failover is durable, and the process that was to be promoted is certainly gone.',
          },
          {
            target: 'promoting',
            actions: failedOver,
            description:
              'The failover is durable: promote the mirror and fence the old primary, both at once.',
          },
        ],
        DEATH: {
          guard: 'ofMirror',
          actions: ['mirrorIsDead'],
          description: 'A death certificate of the one that is to be promoted.',
        },
        RECORD_FAILED: onRecordFailed,
      },
    },
    promoting: {
      description:
        'The acting primary of the catalog has been sent PROMOTE. Its completion is not awaited: the next cycles see it.',
      entry: {
        type: 'sendPromote',
        params: ({ context }) => ({
          row: pairIn(context).primary,
          timeoutMs: context.limits.probeTimeoutMs,
        }),
      },
      on: {
        ANSWERED: {
          target: 'idle',
          actions: [{ type: 'recheck', params: { inMs: ftsTimes.promotedMs } }],
          description: 'PROMOTE has arrived.',
        },
        FAILED: [
          onSuperseded,
          {
            guard: 'primaryIsDead',
            target: 'confirmingDeath',
            description: 'PROMOTE failed, and the process is certainly gone.',
          },
          {
            guard: 'retriesLeft',
            target: 'promoteRetryWait',
            actions: ['countFailure'],
            description: 'PROMOTE failed: send it again.',
          },
          {
            target: 'idle',
            actions: [again],
            description: 'PROMOTE failed after all retries: the catalog stays, the next cycle tries again.',
          },
        ],
        DEATH: {
          guard: 'ofPrimary',
          actions: ['primaryIsDead'],
          description: 'A death certificate of the one that is being promoted: it has no retries.',
        },
      },
    },
    promoteRetryWait: {
      description: 'Between two attempts of PROMOTE.',
      entry: { type: 'startRetryTimer', params: { delayMs: ftsTimes.retryGapMs } },
      exit: { type: 'clearRetryTimer', params: undefined },
      on: {
        RETRY_DUE: { target: 'promoting', description: 'The next attempt.' },
        DEATH: onPrimaryDeath,
      },
    },
    recordingMirrorDown: {
      description: 'Mirror d, both n is made durable (I3). Commits still wait for the mirror.',
      entry: { type: 'record', params: ({ context }) => mirrorDownRecord(pairIn(context)) },
      on: {
        RECORDED: {
          target: 'releasingCommits',
          actions: ['rememberPair', 'beginMessage', 'mirrorDeathRefuted'],
          description: 'The mirror is durably down: the primary may stop waiting for it.',
        },
        RECORD_FAILED: onRecordFailed,
      },
    },
    releasingCommits: {
      description:
        'The mirror is durably down, or not in the catalog any more; the primary has been sent SYNCREP_OFF.',
      entry: {
        type: 'sendSyncRepOff',
        params: ({ context }) => ({
          row: downMirrorsPrimary(context),
          timeoutMs: context.limits.probeTimeoutMs,
        }),
      },
      on: {
        ANSWERED: { target: 'idle', description: 'Commits wait no more.' },
        FAILED: [
          onSuperseded,
          {
            guard: 'retriesLeft',
            target: 'syncRepOffRetryWait',
            actions: ['countFailure'],
            description: 'SYNCREP_OFF failed: send it again.',
          },
          {
            target: 'idle',
            actions: [again],
            description:
              'SYNCREP_OFF failed after all retries: the catalog stays, the next cycle tries again.',
          },
        ],
      },
    },
    syncRepOffRetryWait: {
      description: 'Between two attempts of SYNCREP_OFF.',
      entry: { type: 'startRetryTimer', params: { delayMs: ftsTimes.retryGapMs } },
      exit: { type: 'clearRetryTimer', params: undefined },
      on: { RETRY_DUE: { target: 'releasingCommits', description: 'The next attempt.' } },
    },
    ...recordingStates,
    superseded: {
      type: 'final',
      description: 'Another coordinator has taken over. This one sends and records nothing any more.',
      entry: { type: 'reportSuperseded', params: ({ context }) => ({ row: pairIn(context).primary }) },
    },
  },
})

/** I3: whoever is told to stop waiting has a mirror that the catalog calls down, or none in the catalog. */
function downMirrorsPrimary(context: FtsContext): SegmentRow {
  const { primary, mirror } = pairIn(context)
  if (mirror !== null && (mirror.status !== 'd' || mirror.mode !== 'n')) {
    throw new Error(`content ${context.content}: SYNCREP_OFF although the mirror is not recorded down (I3)`)
  }
  return primary
}
