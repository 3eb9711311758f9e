import t from 'tap'
import { assign, setup } from 'xstate'
import { createDecider, stateText } from '../src/actor/decider.ts'
import { recordingLogger } from './suites/recording-logger.ts'

const door = setup({
  types: {
    context: {} as { knocks: number; key: string },
    events: {} as { type: 'knock' } | { type: 'unlock'; key: string } | { type: 'slam' } | { type: 'late' },
    input: {} as { key: string },
  },
  actions: { ring: (_, _params: { times: number }) => undefined, welcome: () => undefined },
  guards: { fits: ({ context, event }) => event.type === 'unlock' && event.key === context.key },
})
  .createMachine({
    id: 'door',
    context: ({ input }) => ({ knocks: 0, key: input.key }),
    initial: 'closed',
    states: {
      closed: {
        description: 'Nobody comes in.',
        initial: 'quiet',
        states: {
          quiet: {
            on: {
              knock: {
                target: 'noisy',
                description: 'somebody knocks',
                actions: ['count', { type: 'ring', params: { times: 2 } }] as never,
              },
            },
          },
          noisy: {
            description: 'Somebody waits.',
            on: { knock: { actions: assign({ knocks: ({ context }) => context.knocks + 1 }) } },
          },
        },
        on: { unlock: { guard: 'fits', target: 'open', description: 'the key fits', actions: 'welcome' } },
      },
      open: { description: 'Come in.', on: { slam: 'closed' } },
    },
  })
  .provide({ actions: { count: assign({ knocks: ({ context }) => context.knocks + 1 }) } as never })

function make() {
  const { log, lines } = recordingLogger()
  const decider = createDecider(door, {
    log,
    subject: { actor: 'door', dbid: 7 },
    input: { key: 'k' },
    facts: (snapshot) => ({ knocks: snapshot.context.knocks }),
    ignorable: ['late'],
  })
  return { decider, lines }
}

t.test(
  'a decision returns the actions to perform, by name and with their parameters, and performs none',
  async (t) => {
    const { decider } = make()
    const actions = decider.dispatch({ type: 'knock' })
    t.same(
      actions.map(({ type, params }) => ({ type, params })),
      [{ type: 'ring', params: { times: 2 } }],
    )
    t.equal(decider.state, 'closed.noisy')
    t.equal(decider.context.knocks, 1)
    t.ok(decider.matches({ closed: 'noisy' }))
  },
)

t.test(
  'each change of state is one log line with subject, facts, from, event, to and the reason',
  async (t) => {
    const { decider, lines } = make()
    decider.dispatch({ type: 'knock' })
    decider.dispatch({ type: 'knock' })
    decider.dispatch({ type: 'unlock', key: 'k' })
    decider.dispatch({ type: 'slam' })
    t.same(
      lines.filter(({ level }) => level === 'info'),
      [
        {
          level: 'info',
          fields: {
            actor: 'door',
            dbid: 7,
            knocks: 1,
            from: 'closed.quiet',
            event: 'knock',
            to: 'closed.noisy',
          },
          sentence: 'somebody knocks',
        },
        {
          level: 'info',
          fields: { actor: 'door', dbid: 7, knocks: 2, from: 'closed.noisy', event: 'unlock', to: 'open' },
          sentence: 'the key fits',
        },
        {
          level: 'info',
          fields: { actor: 'door', dbid: 7, knocks: 2, from: 'open', event: 'slam', to: 'closed.quiet' },
          sentence: 'no reason is written down',
        },
      ],
    )
  },
)

t.test('an event that the state does not know is an error that names it, and changes nothing', async (t) => {
  const { decider, lines } = make()
  t.throws(() => decider.dispatch({ type: 'slam' }), {
    code: 'internal',
    message: /closed\.quiet does not know the event slam/,
  })
  t.equal(decider.state, 'closed.quiet')
  t.equal(lines.filter(({ level }) => level === 'error').length, 1)
})

t.test('an event that may come late is ignored where it means nothing', async (t) => {
  const { decider, lines } = make()
  t.same(decider.dispatch({ type: 'late' }), [])
  t.notOk(lines.some(({ level }) => level === 'error'))
})

t.test('an event that every guard turns down is known, but changes nothing', async (t) => {
  const { decider } = make()
  t.same(decider.dispatch({ type: 'unlock', key: 'wrong' }), [])
  t.equal(decider.state, 'closed.quiet')
})

t.test('observers see each step with the snapshots around it, and may not dispatch', async (t) => {
  const { decider } = make()
  const seen: string[] = []
  const end = decider.observe((step) =>
    seen.push(`${step.from} -${step.event.type}-> ${step.to} (${step.after.context.knocks})`),
  )
  decider.dispatch({ type: 'knock' })
  end()
  decider.dispatch({ type: 'unlock', key: 'k' })
  t.same(seen, ['closed.quiet -knock-> closed.noisy (1)'])
  decider.observe(() => decider.dispatch({ type: 'knock' }))
  t.throws(() => decider.dispatch({ type: 'slam' }), /while it decides/)
})

t.test('parallel states are told side by side', async (t) => {
  t.equal(stateText({ a: 'b', c: { d: 'e' } }), 'a.b, c.d.e')
})
