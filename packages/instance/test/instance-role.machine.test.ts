import t from 'tap'
import { errorCatalog, isMirabelleError } from '@mirabelle/messages'
import { accepts, refusal, type RoleRequest } from '../src/role/accepts.ts'
import { instanceRoleMachine, type RoleEvent, type RoleState } from '../src/role/instance-role.machine.ts'
import { RoleDecider } from '../src/role/role-decider.ts'

const all: Record<RoleEvent['type'], RoleEvent> = {
  'engine.primary': { type: 'engine.primary', timeline: 2 },
  'engine.mirror': { type: 'engine.mirror', timeline: 2 },
  promote: { type: 'promote' },
  copy: { type: 'copy', reason: 'asked for' },
  'copy.done': { type: 'copy.done' },
  unfit: { type: 'unfit', code: 'wal.diverged', reason: 'diverged at 0/5' },
  fence: { type: 'fence', code: 'epoch.stale', reason: 'epoch 2' },
  stop: { type: 'stop', reason: 'fast' },
  'stop.done': { type: 'stop.done' },
  fail: { type: 'fail', code: 'engine.died', reason: 'PANIC' },
}

/** How each state is reached. */
const paths: Record<RoleState, (keyof typeof all)[]> = {
  starting: [],
  primary: ['engine.primary'],
  mirror: ['engine.mirror'],
  promoting: ['engine.mirror', 'promote'],
  copying: ['engine.mirror', 'copy'],
  unfit: ['engine.mirror', 'unfit'],
  fenced: ['engine.primary', 'fence'],
  stopping: ['engine.primary', 'stop'],
  stopped: ['engine.primary', 'stop', 'stop.done'],
  failed: ['fail'],
}
/** The whole table; what is not here changes nothing. */
const moves: Record<RoleState, Partial<Record<RoleEvent['type'], RoleState>>> = {
  starting: {
    'engine.primary': 'primary',
    'engine.mirror': 'mirror',
    copy: 'copying',
    unfit: 'unfit',
    stop: 'stopping',
    fail: 'failed',
  },
  primary: { fence: 'fenced', stop: 'stopping', fail: 'failed' },
  mirror: { promote: 'promoting', copy: 'copying', unfit: 'unfit', stop: 'stopping', fail: 'failed' },
  promoting: { 'engine.primary': 'primary', stop: 'stopping', fail: 'failed' },
  copying: { 'copy.done': 'starting', stop: 'stopping', fail: 'failed' },
  unfit: { copy: 'copying', stop: 'stopping', fail: 'failed' },
  fenced: { stop: 'stopping', fail: 'failed' },
  stopping: { 'stop.done': 'stopped', fail: 'failed' },
  stopped: {},
  failed: {},
}
const states = Object.keys(moves) as RoleState[]

function reach(state: RoleState): RoleDecider {
  const decider = new RoleDecider('m')
  for (const event of paths[state]) decider.decide(all[event])
  return decider
}

t.test('each state does with each event what the table says', (t) => {
  for (const state of states) {
    for (const event of Object.keys(all) as RoleEvent['type'][]) {
      const decider = reach(state)
      t.equal(decider.state, state, `reached ${state}`)
      decider.decide(all[event])
      t.equal(decider.state, moves[state][event] ?? state, `${state} + ${event}`)
    }
  }
  t.end()
})

t.test('PROMOTE while a mirror starts is kept and carried out when replay has begun', (t) => {
  const decider = new RoleDecider('m')
  decider.decide({ type: 'promote' })
  t.equal(decider.state, 'starting')
  decider.decide({ type: 'engine.mirror', timeline: 3 })
  t.equal(decider.state, 'promoting')
  decider.decide({ type: 'engine.primary', timeline: 4 })
  t.equal(decider.state, 'primary')
  t.equal(decider.timeline, 4)
  t.end()
})

t.test('only a mirror becomes primary by PROMOTE, and a fenced instance never again', (t) => {
  for (const state of states) {
    const decider = reach(state)
    decider.decide({ type: 'promote' })
    const promoted = decider.state === 'promoting' && state !== 'promoting'
    t.equal(promoted, state === 'mirror', state)
  }
  const fenced = reach('fenced')
  for (const event of Object.values(all)) {
    if (event.type !== 'stop' && event.type !== 'fail') fenced.decide(event)
  }
  t.equal(fenced.state, 'fenced')
  t.end()
})

t.test('every request is accepted or refused with a typed error in every state', (t) => {
  const who = { dbid: 3, content: 1, reason: 'diverged at 0/5' }
  for (const request of Object.keys(accepts) as RoleRequest[]) {
    for (const state of states) {
      const refused = refusal(request, state, who)
      if (accepts[request][state] === 'yes') {
        t.equal(refused, undefined, `${request} in ${state}`)
        continue
      }
      t.ok(isMirabelleError(refused), `${request} in ${state}`)
      t.ok(refused !== undefined && refused.code in errorCatalog)
      t.match(refused?.message, /dbid 3 of content 1, which is \w+: diverged at 0\/5/)
    }
  }
  t.end()
})

t.test('what FTS can ask for is accepted in the states in which it can be done, and only there', (t) => {
  const yes = (request: RoleRequest): string[] => states.filter((state) => accepts[request][state] === 'yes')
  t.same(yes('segment.promote'), ['starting', 'primary', 'mirror', 'promoting'])
  for (const state of yes('segment.promote') as RoleState[]) {
    const decider = reach(state)
    decider.decide({ type: 'promote' })
    if (state === 'starting') decider.decide({ type: 'engine.mirror', timeline: 1 })
    t.ok(['primary', 'promoting'].includes(decider.state), `accepted in ${state}, so it leads to a primary`)
  }
  t.same(yes('segment.syncRepOff'), ['starting', 'primary', 'promoting'])
  t.same(yes('dispatch.open'), ['primary'], 'I4: one writer a content')
  t.same(yes('wal.start'), ['primary'])
  t.same(yes('fts.probe'), ['starting', 'primary', 'mirror', 'promoting', 'copying', 'unfit'])
  t.same(yes('instance.stop'), states)
  t.end()
})

t.test('every state and every transition is described', (t) => {
  for (const state of states) {
    const node = instanceRoleMachine.states[state]
    t.ok((node?.description ?? '').length > 20, state)
    for (const transitions of node?.transitions.values() ?? []) {
      for (const one of transitions) t.ok((one.description ?? '').length > 5, `${state}: ${one.eventType}`)
    }
  }
  for (const transitions of instanceRoleMachine.root.transitions.values()) {
    for (const one of transitions) t.ok((one.description ?? '').length > 5, one.eventType)
  }
  t.end()
})
