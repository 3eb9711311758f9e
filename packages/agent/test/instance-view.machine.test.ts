import t from 'tap'
import { createActor } from 'xstate'
import { getShortestPaths } from 'xstate/graph'
import { instanceViewMachine } from '@mirabelle/agent'

const events = ['START', 'SPAWNED', 'ADOPTED', 'STOP', 'FENCE', 'EXITED'] as const

const table = {
  stopped: { START: 'starting', ADOPTED: 'running' },
  starting: { SPAWNED: 'running', EXITED: 'stopped' },
  running: { STOP: 'stopping', FENCE: 'fencing', EXITED: 'stopped' },
  stopping: { FENCE: 'fencing', EXITED: 'stopped' },
  fencing: { EXITED: 'stopped' },
} as const

t.test('every state can be reached', async (t) => {
  const paths = getShortestPaths(instanceViewMachine, { events: events.map((type) => ({ type })) })
  t.same(new Set(paths.map((path) => path.state.value)), new Set(Object.keys(table)))
})

for (const [state, targets] of Object.entries(table)) {
  t.test(`from ${state} each event leads where the table says, others change nothing`, async (t) => {
    for (const type of events) {
      const actor = createActor(instanceViewMachine, {
        snapshot: instanceViewMachine.resolveState({ value: state as 'stopped' }),
      }).start()
      actor.send({ type })
      t.equal(actor.getSnapshot().value, (targets as Record<string, string>)[type] ?? state, type)
    }
  })
}

t.test('every state and transition says what it means', async (t) => {
  for (const node of Object.values(instanceViewMachine.states)) {
    t.ok(node.description, node.key)
    for (const transitions of node.transitions.values())
      for (const transition of transitions)
        t.ok(transition.description, `${node.key} ${transition.eventType}`)
  }
})
