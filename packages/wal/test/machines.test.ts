import t from 'tap'
import { MirabelleError } from '@mirabelle/messages'
import type { ErrorCode } from '@mirabelle/messages'
import { initialTransition, transition } from 'xstate'
import type { AnyStateMachine } from 'xstate'
import { getShortestPaths } from 'xstate/graph'
import { judgeStart, walReceiverMachine, walSenderMachine } from '../src/index.ts'
import type { WalReceiverEvent, WalSenderEvent } from '../src/index.ts'

const error = (code: ErrorCode): MirabelleError => new MirabelleError(code, code)
const failed = (code: ErrorCode, badLsn?: number): WalReceiverEvent => ({
  type: 'failed',
  error: error(code),
  ...(badLsn === undefined ? {} : { badLsn }),
})

function walk(events: readonly WalReceiverEvent[]): string[] {
  let [snapshot] = initialTransition(walReceiverMachine)
  return events.map((event) => {
    ;[snapshot] = transition(walReceiverMachine, snapshot, event)
    return snapshot.value as string
  })
}

const toStream: WalReceiverEvent[] = [{ type: 'connected' }, { type: 'identified' }, { type: 'started' }]

t.test('every state and transition says what it means', (t) => {
  for (const machine of [walSenderMachine, walReceiverMachine] as AnyStateMachine[]) {
    for (const [name, node] of Object.entries(machine.states)) {
      t.ok(node.description, `${machine.id}.${name}`)
      for (const one of [...node.transitions.values()].flat())
        t.ok(one.description, `${machine.id}.${name} on ${one.eventType}`)
    }
  }
  t.end()
})

t.test('every state can be reached, and every state but the last can be left by stop', (t) => {
  const reason = error('connection.lost')
  const senderEvents: WalSenderEvent[] = [
    { type: 'started' },
    { type: 'caughtUp' },
    { type: 'fellBehind' },
    { type: 'stop', reason },
    { type: 'closed', reason },
  ]
  const sender = new Set(
    getShortestPaths(walSenderMachine, { events: senderEvents }).map(({ state }) => state.value as string),
  )
  t.same([...sender].sort(), Object.keys(walSenderMachine.states).sort())
  const codes: ErrorCode[] = [
    'wal.diverged',
    'wal.removed',
    'cluster.foreign',
    'wal.rewrite',
    'connection.lost',
  ]
  const receiverEvents: WalReceiverEvent[] = [
    ...toStream,
    ...codes.map((code) => failed(code)),
    { type: 'retry' },
    { type: 'peerChanged' },
    { type: 'stop' },
    { type: 'closed' },
  ]
  const paths = getShortestPaths(walReceiverMachine, {
    events: receiverEvents,
    limit: 2000,
    serializeState: (state) => JSON.stringify(state.value),
  })
  t.same(
    [...new Set(paths.map(({ state }) => state.value as string))].sort(),
    Object.keys(walReceiverMachine.states).sort(),
  )
  for (const { state } of paths) {
    if (state.value === 'stopped') continue
    const [next] = transition(walReceiverMachine, state, { type: 'stop' })
    t.equal(next.value, 'stopping')
  }
  t.end()
})

t.test('what a failure leads to', (t) => {
  const cases: [ErrorCode, string][] = [
    ['connection.refused', 'waiting'],
    ['connection.silent', 'waiting'],
    ['timeout', 'waiting'],
    ['not.primary', 'waiting'],
    ['epoch.stale', 'waiting'],
    ['disk.failed', 'waiting'],
    ['wal.corrupt', 'waiting'],
    ['wal.diverged', 'diverged'],
    ['wal.ahead', 'diverged'],
    ['wal.removed', 'removed'],
    ['cluster.foreign', 'foreign'],
    ['wrong.content', 'foreign'],
    ['datadir.foreign', 'foreign'],
    ['wal.rewrite', 'broken'],
  ]
  for (const [code, state] of cases) {
    for (let steps = 0; steps <= 3; steps++)
      t.equal(walk([...toStream.slice(0, steps), failed(code)]).at(-1), state, code)
  }
  t.end()
})

t.test('the same position bad three times is broken; another position starts the count anew', (t) => {
  const bad = (lsn: number): WalReceiverEvent[] => [
    ...toStream,
    failed('wal.corrupt', lsn),
    { type: 'retry' },
  ]
  t.equal(walk([...bad(5), ...bad(5), ...toStream, failed('wal.corrupt', 5)]).at(-1), 'broken')
  t.equal(
    walk([...bad(5), ...bad(5), ...bad(6), ...bad(6), ...toStream, failed('wal.corrupt', 5)]).at(-1),
    'waiting',
  )
  t.equal(
    walk([
      ...bad(5),
      ...toStream,
      failed('connection.lost'),
      { type: 'retry' },
      ...bad(5),
      ...toStream,
      failed('wal.corrupt', 5),
    ]).at(-1),
    'broken',
  )
  t.end()
})

t.test('who may go on from where is decided by timeline and end', (t) => {
  const sender = {
    timeline: 3,
    history: [
      { timeline: 1, end: 1000 },
      { timeline: 2, end: 2000 },
    ],
    endLsn: 3000,
    oldestLsn: 500,
  }
  const cases: [number, number, number, ErrorCode | undefined][] = [
    [3, 3000, 2500, undefined],
    [3, 3001, 2500, 'wal.ahead'],
    [3, 600, 500, undefined],
    [3, 600, 499, 'wal.removed'],
    [2, 2000, 1500, undefined],
    [2, 2001, 1500, 'wal.diverged'],
    [1, 1000, 1000, undefined],
    [1, 1001, 1000, 'wal.diverged'],
    [4, 100, 100, 'wal.ahead'],
  ]
  for (const [timeline, receivedEnd, startLsn, code] of cases)
    t.equal(
      judgeStart({ timeline, receivedEnd, startLsn }, sender)?.code,
      code,
      `${timeline} ${receivedEnd} ${startLsn}`,
    )
  t.equal(
    judgeStart(
      { timeline: 2, receivedEnd: 1, startLsn: 1 },
      { ...sender, history: [{ timeline: 1, end: 9 }], oldestLsn: 0 },
    )?.code,
    'wal.diverged',
  )
  t.end()
})
