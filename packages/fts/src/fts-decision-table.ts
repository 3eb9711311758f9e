/** The decision table of replication §3 as transitions, shared by the states of the machine of one content. */
import { ftsTimes, type FtsContext } from './fts-content-model.ts'
import { pairIn } from './fts-content-setup.ts'

export const up = { type: 'setHealth', params: { health: 'up' } } as const
export const again = { type: 'recheck', params: { inMs: ftsTimes.againMs } } as const

/**
 * What is down by the catalog and was primary before is fenced, so that a hung process answers nothing when it wakes up. Once per
 * failover: comes before `setHealth` in the list of actions.
 */
export const fenceOldPrimary = {
  type: 'fence',
  params: ({ context }: { context: FtsContext }) => {
    const { mirror } = pairIn(context)
    return { row: mirror?.status === 'd' && context.health !== 'failing-over' ? mirror : null }
  },
} as const

/** The probe failed, or was answered by a recovery that stands still. */
export const onNoAnswer = [
  {
    guard: 'retriesLeft',
    target: 'retryWait',
    actions: ['rememberPair', 'countFailure', 'suspect'],
    description: 'No answer: ask again.',
  },
  {
    guard: 'mirrorPromotableButDead',
    target: 'checkingMirror',
    actions: ['rememberPair'],
    description:
      'The primary does not answer, and its mirror, though in sync, was reported dead: see whether it is.',
  },
  {
    guard: 'mirrorPromotable',
    target: 'recordingFailover',
    actions: ['rememberPair'],
    description: 'The primary does not answer and its mirror is in sync: fail over.',
  },
  {
    guard: 'faultKnown',
    target: 'idle',
    actions: ['rememberPair', 'faultStays', again],
    description: 'It still does not answer, as the history already says.',
  },
  {
    guard: 'withoutMirror',
    target: 'recordingDown',
    actions: ['rememberPair'],
    description: 'The instance does not answer and has no mirror.',
  },
  {
    target: 'recordingDoubleFault',
    actions: ['rememberPair'],
    description: 'The primary does not answer and its mirror is not in sync: nobody may be promoted.',
  },
] as const

/** The acting primary answered: the decision table. */
export const onAnswered = [
  {
    guard: 'faultIsOver',
    target: 'recordingBackUp',
    actions: ['rememberAnswer'],
    description: 'It answers again after a fault that the history tells of.',
  },
  {
    guard: { type: 'verdictIs', params: { verdict: 'promote-was-lost' } },
    target: 'promoting',
    actions: [
      'rememberAnswer',
      'beginMessage',
      fenceOldPrimary,
      { type: 'setHealth', params: { health: 'failing-over' } },
    ],
    description:
      'It says that it is a mirror: an earlier PROMOTE was lost, send it again; the catalog stays.',
  },
  {
    guard: 'promotionUnderWay',
    target: 'idle',
    actions: ['rememberAnswer', { type: 'recheck', params: { inMs: ftsTimes.promotedMs } }],
    description: 'Its promotion is under way: look again soon.',
  },
  {
    guard: { type: 'verdictIs', params: { verdict: 'recovering' } },
    target: 'idle',
    actions: [
      'rememberAnswer',
      { type: 'setHealth', params: { health: 'recovering' } },
      { type: 'recheck', params: { inMs: ftsTimes.recoveringMs } },
    ],
    description: 'It is in recovery, which advances: leave it alone in this cycle.',
  },
  {
    guard: { type: 'askedEnough', params: { verdict: 'mirror-in-grace' } },
    target: 'idle',
    actions: ['rememberAnswer', up, { type: 'recheck', params: { inMs: ftsTimes.graceMs } }],
    description:
      'The mirror may still come back within its grace period: nothing is changed; look again soon.',
  },
  {
    guard: { type: 'verdictIs', params: { verdict: 'mirror-in-grace' } },
    target: 'retryWait',
    actions: ['rememberAnswer', 'countAsk', up],
    description: 'The primary asks to be asked again: its mirror has just gone.',
  },
  {
    guard: { type: 'askedEnough', params: { verdict: 'mirror-catching-up' } },
    target: 'recordingOutOfSync',
    actions: ['rememberAnswer', up],
    description: 'The mirror is recorded in sync but was catching up each time we asked.',
  },
  {
    guard: { type: 'verdictIs', params: { verdict: 'mirror-catching-up' } },
    target: 'retryWait',
    actions: ['rememberAnswer', 'countAsk', up],
    description: 'The mirror is recorded in sync but catches up just now: ask again before that is recorded.',
  },
  {
    guard: { type: 'verdictIs', params: { verdict: 'mirror-not-waited-for' } },
    target: 'recordingOutOfSync',
    actions: ['rememberAnswer', up],
    description: 'The primary does not wait for its mirror: it must not count as in sync.',
  },
  {
    guard: { type: 'verdictIs', params: { verdict: 'mirror-back' } },
    target: 'recordingOutOfSync',
    actions: ['rememberAnswer', up],
    description: 'The mirror is connected again and catches up.',
  },
  {
    guard: { type: 'verdictIs', params: { verdict: 'mirror-in-sync' } },
    target: 'recordingInSync',
    actions: ['rememberAnswer', up],
    description: 'The mirror has caught up and commits wait for it.',
  },
  {
    guard: { type: 'verdictIs', params: { verdict: 'mirror-down' } },
    target: 'recordingMirrorDown',
    actions: ['rememberAnswer', up],
    description: 'The mirror is gone.',
  },
  {
    guard: { type: 'verdictIs', params: { verdict: 'syncrep-off-was-lost' } },
    target: 'releasingCommits',
    actions: ['rememberAnswer', 'beginMessage', 'mirrorDeathRefuted', up],
    description:
      'The mirror is recorded down, or was removed, but commits still wait for it: say SYNCREP_OFF again.',
  },
  {
    guard: 'mirrorUnderWatch',
    target: 'idle',
    actions: ['rememberAnswer', up, 'spendMirrorLook'],
    description: 'The catalog agrees, but the mirror lost a connection or its process: look again soon.',
  },
  {
    guard: { type: 'verdictIs', params: { verdict: 'agrees' } },
    target: 'idle',
    actions: ['rememberAnswer', 'mirrorDeathRefuted', up],
    description: 'The catalog agrees: nothing to do.',
  },
  // What is left is a recovery that stands still: as good as no answer. The memory of it stays.
  ...onNoAnswer,
] as const

export const onSuperseded = {
  guard: 'superseded',
  target: 'superseded',
  description: 'The instance has promised a higher epoch.',
} as const

export const onPairChanged = {
  target: 'idle',
  actions: [{ type: 'recheck', params: { inMs: 0 } }],
  description: 'An administrator changed the pair while the answer was awaited: begin anew.',
} as const

export const onMirrorDeath = {
  guard: 'ofMirror',
  actions: ['mirrorIsDead'],
  description: 'The mirror is certainly gone: the grace period does not apply.',
} as const

export const onPrimaryDeath = {
  guard: 'ofPrimary',
  target: 'confirmingDeath',
  actions: ['primaryIsDead'],
  description: 'The process of the primary is certainly gone: no retries.',
} as const

export const onRecordFailed = {
  target: 'idle',
  actions: [again],
  description: 'The catalog could not be made durable: nobody is told anything; try again soon.',
} as const
