/** The named guards, memory updates and effects of the machine of one content. */
import { assign, setup } from 'xstate'
import type { Content, SegmentRow } from '@mirabelle/messages'
import type { ContentHealth } from './fts-ports.ts'
import {
  MIRROR_DEATH_LOOKS,
  OWN_STALLS_FORGIVEN,
  ftsTimes,
  type FtsContext,
  type FtsEvent,
} from './fts-content-model.ts'
import { mirrorIsPromotable, type CatalogRecord, type Pair } from './fts-pair.ts'
import { judge, recoveryAfter, type Verdict } from './fts-verdict.ts'

/** The rows that the machine acts on. Only `idle` before the first cycle has none. */
export function pairIn({ content, pair }: FtsContext): Pair {
  if (pair === null) throw new Error(`content ${content}: FTS acts without having read the catalog`)
  return pair
}

/** The mirror's row, where a state or guard has made sure that there is one. */
export function mirrorIn(context: FtsContext): SegmentRow {
  const { mirror } = pairIn(context)
  if (mirror === null) throw new Error(`content ${context.content}: FTS acts on a mirror that does not exist`)
  return mirror
}

/** What an answer means; undefined when the event is not an answer. */
function verdictOn(context: FtsContext, event: FtsEvent): Verdict | undefined {
  if (event.type !== 'ANSWERED') return undefined
  const evidence = {
    pair: event.pair,
    mirrorDead: context.mirrorDead,
    recovery: context.recovery,
    recoveryStallMs: context.limits.recoveryStallMs,
  }
  return judge(evidence, event.reply, event.atMs)
}

/** The pair as the event brings it, else as remembered. */
function pairOn(context: FtsContext, event: FtsEvent): Pair {
  return event.type === 'ANSWERED' || event.type === 'FAILED' ? event.pair : pairIn(context)
}

const serving: ReadonlySet<Verdict | undefined> = new Set<Verdict>([
  'agrees',
  'mirror-in-sync',
  'mirror-back',
  'mirror-not-waited-for',
  'mirror-catching-up',
  'mirror-in-grace',
  'mirror-down',
  'syncrep-off-was-lost',
])

/** Implementations of effects are the actor's; here only their names and parameters. */
function effect<P>(): (_args: unknown, _params: P) => void {
  return () => {}
}

export const ftsContentSetup = setup({
  types: {
    context: {} as FtsContext,
    events: {} as FtsEvent,
    input: {} as { content: Content },
  },
  guards: {
    verdictIs: ({ context, event }, { verdict }: { verdict: Verdict }) =>
      verdictOn(context, event) === verdict,
    faultIsOver: ({ context, event }) => context.faultRecorded && serving.has(verdictOn(context, event)),
    /** The verdict, and the primary has been asked as often as the settings say. */
    askedEnough: ({ context, event }, { verdict }: { verdict: Verdict }) =>
      verdictOn(context, event) === verdict && context.asks >= context.limits.retries,
    mirrorUnderWatch: ({ context, event }) =>
      verdictOn(context, event) === 'agrees' &&
      context.mirrorLooks > 0 &&
      event.type === 'ANSWERED' &&
      event.reply.isMirrorUp,
    superseded: ({ event }) => event.type === 'FAILED' && event.code === 'epoch.stale',
    ownStallForgiven: ({ context, event }) =>
      event.type === 'FAILED' && event.ownStall && context.ownStalls < OWN_STALLS_FORGIVEN,
    /** A death certificate that no answer refutes ends the retries. */
    retriesLeft: ({ context, event }) =>
      context.failures < context.limits.retries && !(context.primaryDead && event.type === 'FAILED'),
    withoutMirror: ({ context, event }) => pairOn(context, event).mirror === null,
    faultKnown: ({ context }) => context.faultRecorded,
    /** I2: the catalog says that the mirror is in sync. */
    mirrorPromotable: ({ context, event }) => mirrorIsPromotable(pairOn(context, event)),
    mirrorPromotableButDead: ({ context, event }) =>
      context.mirrorDead && mirrorIsPromotable(pairOn(context, event)),
    answersAsMirror: ({ event }) =>
      event.type === 'ANSWERED' && event.reply.isRoleMirror && mirrorIsPromotable(event.pair),
    promotionUnderWay: ({ context, event }) =>
      context.health === 'failing-over' && verdictOn(context, event) === 'recovering',
    ofMirror: ({ event }) => event.type === 'DEATH' && event.of === 'mirror',
    ofPrimary: ({ event }) => event.type === 'DEATH' && event.of === 'primary',
    primaryIsDead: ({ context }) => context.primaryDead,
    mirrorIsDead: ({ context }) => context.mirrorDead,
    startsDead: ({ event }) => event.type === 'CYCLE' && event.primaryDead,
    shutdownWhenMirrorless: ({ context }) => context.limits.shutdownWhenMirrorless,
  },
  actions: {
    sendProbe: effect<{ row: SegmentRow; timeoutMs: number }>(),
    sendPromote: effect<{ row: SegmentRow; timeoutMs: number }>(),
    sendSyncRepOff: effect<{ row: SegmentRow; timeoutMs: number }>(),
    record: effect<CatalogRecord>(),
    fence: effect<{ row: SegmentRow | null }>(),
    startRetryTimer: effect<{ delayMs: number }>(),
    clearRetryTimer: effect<undefined>(),
    askForShutdown: effect<{ row: SegmentRow }>(),
    reportSuperseded: effect<{ row: SegmentRow }>(),

    beginCycle: assign(({ context, event }) => {
      if (event.type !== 'CYCLE') return {}
      const known = context.pair
      const isSameMirror = known?.mirror?.dbid === event.pair.mirror?.dbid
      return {
        pair: event.pair,
        // What was seen of an instance says nothing of the one in its place.
        recovery: known?.primary.dbid === event.pair.primary.dbid ? context.recovery : null,
        limits: event.limits,
        failures: event.primarySilent ? 1 : 0,
        asks: 0,
        ownStalls: 0,
        primaryDead: event.primaryDead,
        mirrorDead: (isSameMirror && context.mirrorDead) || event.mirrorDead,
        mirrorLooks: Math.max(isSameMirror ? context.mirrorLooks : 0, event.mirrorLooks),
        recheckMs: null,
      }
    }),
    rememberAnswer: assign(({ context, event }) => {
      if (event.type !== 'ANSWERED') return {}
      return {
        pair: event.pair,
        lastReply: event.reply,
        recovery: recoveryAfter(context.recovery, event.reply, event.atMs),
        primaryDead: false,
      }
    }),
    rememberPair: assign(({ context, event }) => ({ pair: 'pair' in event ? event.pair : context.pair })),
    beginMessage: assign(() => ({ failures: 0, primaryDead: false })),
    countFailure: assign(({ context }) => ({ failures: context.failures + 1 })),
    countAsk: assign(({ context }) => ({ asks: context.asks + 1, failures: 0 })),
    countOwnStall: assign(({ context }) => ({ ownStalls: context.ownStalls + 1 })),
    primaryIsDead: assign(() => ({ primaryDead: true })),
    mirrorIsDead: assign(() => ({ mirrorDead: true, mirrorLooks: MIRROR_DEATH_LOOKS })),
    mirrorDeathRefuted: assign(() => ({ mirrorDead: false, mirrorLooks: 0 })),
    spendMirrorLook: assign(({ context }) => ({
      mirrorLooks: context.mirrorLooks - 1,
      mirrorDead: context.mirrorDead && context.mirrorLooks > 1,
      recheckMs: context.mirrorDead ? ftsTimes.mirrorDeadMs : ftsTimes.mirrorSuspectMs,
    })),
    recoveryForgotten: assign(() => ({ recovery: null })),
    faultBegins: assign(() => ({ faultRecorded: true })),
    faultEnds: assign(() => ({ faultRecorded: false, failures: 0 })),
    faultStays: assign(({ context }) => ({
      health: pairIn(context).mirror === null ? ('down' as const) : ('double-fault' as const),
    })),
    suspect: assign(({ context }) => ({
      health: context.health === 'up' || context.health === 'unknown' ? ('suspect' as const) : context.health,
    })),
    setHealth: assign((_, { health }: { health: ContentHealth }) => ({ health })),
    recheck: assign((_, { inMs }: { inMs: number }) => ({ recheckMs: inMs })),
  },
})
