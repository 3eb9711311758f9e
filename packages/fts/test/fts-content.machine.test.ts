import t from 'tap'
import { initialTransition, transition, type SnapshotFrom } from 'xstate'
import { getShortestPaths } from 'xstate/graph'
import { messageCatalog, type ErrorCode } from '@mirabelle/messages'
import { ftsContentMachine, ftsRequests, type FtsReply } from '../src/index.ts'
import type { CycleLimits, FtsEffect, FtsEvent } from '../src/fts-content-model.ts'
import type { Pair } from '../src/fts-pair.ts'
import { reply, row } from './fake-cluster.ts'

type Snapshot = SnapshotFrom<typeof ftsContentMachine>

function pair(mode: 's' | 'n', status: 'u' | 'd', swapped = false): Pair {
  const [primary, mirror] = swapped ? [12, 2] : [2, 12]
  return {
    primary: row({ dbid: primary, content: 0, mode }),
    mirror: row({ dbid: mirror, content: 0, role: 'm', mode, status }),
  }
}

const limits: CycleLimits = {
  retries: 1,
  probeTimeoutMs: 1_000,
  recoveryStallMs: 10,
  shutdownWhenMirrorless: true,
}
const alone: Pair = { primary: row({ dbid: 2, content: 0, mode: 'n' }), mirror: null }
const starts = [pair('s', 'u'), pair('n', 'u'), pair('n', 'd'), alone]
const answers: FtsReply[] = [
  reply(),
  reply({ isSyncRepEnabled: true }),
  reply({ requestRetry: true, isSyncRepEnabled: true }),
  reply({ isMirrorUp: true }),
  reply({ isMirrorUp: true, isSyncRepEnabled: true }),
  reply({ isMirrorUp: true, isInSync: true, isSyncRepEnabled: true }),
  reply({ isRoleMirror: true }),
  reply({ recovering: true, replayLsn: 5 }),
]
const codes: ErrorCode[] = ['connection.refused', 'epoch.stale']

/** All that can happen in a state, given the pair that the catalog has there. */
function eventsIn(snapshot: Snapshot): FtsEvent[] {
  const known = snapshot.context.pair
  const began = { limits, mirrorLooks: 0, primarySilent: false }
  const cycles = (known === null ? starts : [known]).flatMap((p): FtsEvent[] => [
    { type: 'CYCLE', pair: p, ...began, primaryDead: false, mirrorDead: false },
    { type: 'CYCLE', pair: p, ...began, primaryDead: true, mirrorDead: false },
    { type: 'CYCLE', pair: p, ...began, primaryDead: false, mirrorDead: true, mirrorLooks: 2 },
    { type: 'CYCLE', pair: p, ...began, primaryDead: true, mirrorDead: true },
  ])
  if (known === null) return cycles
  return [
    ...cycles,
    ...answers.map((answer): FtsEvent => ({ type: 'ANSWERED', reply: answer, pair: known, atMs: 0 })),
    { type: 'ANSWERED', reply: reply({ recovering: true, replayLsn: 5 }), pair: known, atMs: 100 },
    ...codes.map((code): FtsEvent => ({ type: 'FAILED', code, pair: known, ownStall: false })),
    { type: 'DEATH', of: 'primary' },
    { type: 'DEATH', of: 'mirror' },
    { type: 'RETRY_DUE' },
    { type: 'RECORDED', pair: recordedIn(snapshot, known) },
    { type: 'RECORD_FAILED' },
    { type: 'PAIR_CHANGED' },
  ]
}

/** What the catalog says after the record of this state. */
function recordedIn({ value }: Snapshot, known: Pair): Pair {
  if (value === 'recordingFailover') return pair('n', 'd', known.primary.dbid === 2)
  const swapped = known.primary.dbid === 12
  if (value === 'recordingMirrorDown') return pair('n', 'd', swapped)
  if (value === 'recordingInSync') return pair('s', 'u', swapped)
  if (value === 'recordingOutOfSync') return pair('n', 'u', swapped)
  return known
}

/** What a path goes on from; counters that only bound something are cut short, so that the graph stays small. */
function serialize({ value, context }: Snapshot): string {
  const {
    pair: known,
    failures,
    asks,
    primaryDead,
    mirrorDead,
    mirrorLooks,
    recovery,
    faultRecorded,
    health,
  } = context
  const rows = [known?.primary, known?.mirror].map((r) => `${r?.dbid}${r?.mode}${r?.status}`)
  const looks = Math.min(mirrorLooks, 2)
  const failingOver = health === 'failing-over'
  return [
    value,
    rows,
    failures,
    asks,
    primaryDead,
    mirrorDead,
    looks,
    recovery === null,
    faultRecorded,
    failingOver,
  ].join()
}

const paths = getShortestPaths(ftsContentMachine, {
  input: { content: 0 },
  events: (snapshot) => eventsIn(snapshot as Snapshot),
  serializeState: (snapshot) => serialize(snapshot as Snapshot),
  limit: 200_000,
})

t.test('every state can be reached', (t) => {
  const reached = new Set(paths.map(({ state }) => state.value as string))
  t.strictSame([...reached].sort(), Object.keys(ftsContentMachine.states).sort())
  t.end()
})

t.test('every state and transition has a description', (t) => {
  for (const [name, state] of Object.entries(ftsContentMachine.states)) {
    t.ok(state.description, name)
    for (const { description, eventType } of state.ownEvents.flatMap(
      (event) => state.transitions.get(event) ?? [],
    )) {
      t.ok(description, `${name} on ${String(eventType)}`)
    }
  }
  t.end()
})

t.test('on all paths: I2, I3, and each effect where it belongs', (t) => {
  const promotedAfter = new Set<string>()
  let steps = 0
  const seen = new Set<string>()
  for (const { state } of paths) {
    const snapshot = state as Snapshot
    if (seen.has(serialize(snapshot)) || snapshot.status !== 'active') continue
    seen.add(serialize(snapshot))
    for (const event of eventsIn(snapshot)) {
      if (!snapshot.can(event)) continue
      const [after, effects] = transition(ftsContentMachine, snapshot, event)
      for (const effect of effects as unknown as FtsEffect[]) {
        steps += 1
        const { pair: now } = after.context
        if (
          effect.type === 'record' &&
          effect.params.changes.some(({ role, dbid }) => role === 'p' && dbid === now?.mirror?.dbid)
        ) {
          if (now?.primary.mode !== 's' || now.mirror?.mode !== 's' || now.mirror.status !== 'u') t.fail('I2')
          if (effect.params.changes.length !== 2) t.fail('a failover is one transaction of two rows')
        }
        // Recorded down, or not in the catalog any more.
        const isGone = now?.mirror === null || (now?.mirror.status === 'd' && now.mirror.mode === 'n')
        if (effect.type === 'sendSyncRepOff' && !isGone) t.fail('I3')
        if (effect.type === 'sendPromote') {
          promotedAfter.add(event.type === 'ANSWERED' ? 'says that it is a mirror' : String(snapshot.value))
          if (effect.params.row.dbid !== now?.primary.dbid) t.fail('only the recorded primary is promoted')
        }
        if (effect.type === 'fence' && effect.params.row !== null && effect.params.row.status !== 'd')
          t.fail('fence of an instance that is up')
      }
    }
  }
  t.ok(steps > 1_000, `${steps} steps`)
  t.strictSame([...promotedAfter].sort(), [
    'promoteRetryWait',
    'recordingFailover',
    'says that it is a mirror',
  ])
  t.end()
})

t.test('from every state a cycle ends: failures and refusals lead back to idle', (t) => {
  const worst: Record<string, FtsEvent> = {}
  for (const { state } of paths) {
    let snapshot = state as Snapshot
    let steps = 0
    while (snapshot.value !== 'idle' && snapshot.status === 'active') {
      const known = snapshot.context.pair as Pair
      const events: FtsEvent[] = [
        { type: 'FAILED', code: 'timeout', pair: known, ownStall: true },
        { type: 'RETRY_DUE' },
        { type: 'RECORD_FAILED' },
      ]
      const event = events.find((candidate) => snapshot.can(candidate))
      if (event === undefined) return t.fail(`${snapshot.value} waits for ever`)
      ;[snapshot] = transition(ftsContentMachine, snapshot, event)
      worst[String(snapshot.value)] = event
      steps += 1
      if (steps > 50) return t.fail(`${JSON.stringify(state.value)} never ends`)
    }
  }
  t.ok(Object.keys(worst).length > 3)
  t.end()
})

t.test('the machine begins idle and asks for nothing', (t) => {
  const [snapshot, effects] = initialTransition(ftsContentMachine, { content: 7 })
  t.equal(snapshot.value, 'idle')
  t.strictSame(effects, [])
  t.end()
})

t.test('what FTS can ask are requests of the protocol, all with the same answer', (t) => {
  for (const type of ftsRequests) t.equal(messageCatalog[type].reply, 'fts.probed', type)
  t.end()
})
