/** The machines of the product take the steps that xstate takes, whatever comes in whatever order: state, context, actions with parameters, errors. */
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { instanceViewMachine } from '@mirabelle/agent'
import { ftsContentMachine } from '@mirabelle/fts'
import { instanceRoleMachine } from '@mirabelle/instance'
import { MirabelleError } from '@mirabelle/messages'
import { MachineSteps } from '@mirabelle/runtime'
import { walReceiverMachine, walSenderMachine } from '@mirabelle/wal'
import { SimRandom } from '../src/sim/sim-random.ts'

type Machine = ConstructorParameters<typeof MachineSteps>[0]
type Event = { readonly type: string } & Readonly<Record<string, unknown>>

const RUNS = 300
const STEPS = 60

const flag = (random: SimRandom): boolean => random.chance(0.5)
const error = (random: SimRandom): MirabelleError =>
  new MirabelleError(
    random.pick([
      'connection.lost',
      'wal.diverged',
      'wal.removed',
      'wal.rewrite',
      'cluster.foreign',
      'disk.full',
    ]),
    'x',
  )

function pair(random: SimRandom): unknown {
  const [mode, status] = random.pick([
    ['s', 'u'],
    ['n', 'u'],
    ['n', 'd'],
  ] as const)
  const row = { content: 0, preferredRole: 'p', mode, hostname: 'h', datadir: '/d' }
  const mirror = random.chance(0.8) ? { ...row, dbid: 4, role: 'm', status } : null
  return { primary: { ...row, dbid: 2, role: 'p', status: 'u' }, mirror }
}

function reply(random: SimRandom): unknown {
  return {
    type: 'fts.probed',
    isMirrorUp: flag(random),
    isInSync: flag(random),
    isSyncRepEnabled: flag(random),
    isRoleMirror: flag(random),
    retryRequested: flag(random),
    recovering: random.chance(0.2),
    replayLsn: random.below(100),
    flushLsn: random.below(100),
    timeline: 1,
    roleState: random.pick(['primary', 'mirror', 'promoting', 'starting']),
  }
}

/** What each machine may hear. */
const heard: Record<string, { machine: Machine; input?: unknown; event: (random: SimRandom) => Event }> = {
  'instance view': {
    machine: instanceViewMachine,
    event: (random) => ({
      type: random.pick(['START', 'SPAWNED', 'ADOPTED', 'STOP', 'FENCE', 'EXITED', 'NEVER']),
    }),
  },
  'instance role': {
    machine: instanceRoleMachine,
    input: { role: 'm' },
    event: (random) => ({
      type: random.pick([
        'engine.primary',
        'engine.mirror',
        'promote',
        'copy',
        'copy.done',
        'unfit',
        'fence',
        'stop',
        'stop.done',
        'fail',
      ]),
      timeline: random.below(9),
      reason: `reason ${random.below(9)}`,
      code: 'disk.failed',
    }),
  },
  walsender: {
    machine: walSenderMachine,
    event: (random) => ({
      type: random.pick(['started', 'caughtUp', 'fellBehind', 'stop', 'closed', 'caughtUp', 'fellBehind']),
      reason: error(random),
    }),
  },
  walreceiver: {
    machine: walReceiverMachine,
    event: (random) => ({
      type: random.pick([
        'connected',
        'identified',
        'started',
        'failed',
        'retry',
        'peerChanged',
        'stop',
        'closed',
        'failed',
      ]),
      error: error(random),
      ...(flag(random) ? { badLsn: random.below(2) } : {}),
    }),
  },
  FTS: {
    machine: ftsContentMachine,
    input: { content: 0 },
    event: (random) => ({
      type: random.pick([
        'CYCLE',
        'CYCLE',
        'ANSWERED',
        'ANSWERED',
        'FAILED',
        'FAILED',
        'DEATH',
        'RETRY_DUE',
        'RECORDED',
        'RECORD_FAILED',
        'PAIR_CHANGED',
      ]),
      pair: pair(random),
      reply: reply(random),
      limits: {
        retries: random.below(4),
        probeTimeoutMs: 1_000,
        recoveryStallMs: 60_000,
        shutdownWhenMirrorless: flag(random),
      },
      primaryDead: random.chance(0.2),
      mirrorDead: random.chance(0.2),
      mirrorLooks: random.below(3),
      primarySilent: random.chance(0.2),
      atMs: random.below(1_000_000),
      code: random.pick(['timeout', 'connection.refused', 'epoch.stale']),
      ownStall: random.chance(0.2),
      of: random.pick(['primary', 'mirror']),
    }),
  },
}

interface Snapshot {
  readonly value: unknown
  readonly context: unknown
  readonly status: string
  readonly tags: ReadonlySet<string>
  readonly _nodes: readonly { readonly id: string }[]
}

const seenIn = ({ value, context, status, tags, _nodes }: Snapshot) => ({
  value,
  context,
  status,
  tags: [...tags],
  nodes: _nodes.map(({ id }) => id),
})

const asked = (actions: readonly unknown[]) =>
  (actions as { type: string; params: unknown }[]).map(({ type, params }) => ({ type, params }))

/** xstate's own steps, as an actor takes them. */
function reference(machine: Machine, input: unknown) {
  let actions: unknown[] = []
  const nothing = (): void => undefined
  const scope = {
    self: {},
    system: { _sendInspectionEvent: nothing },
    actionExecutor: (action: unknown) => void actions.push(action),
    defer: nothing,
    emit: nothing,
    logger: nothing,
    stopChild: nothing,
    id: '',
    sessionId: '',
  } as never
  let snapshot = machine.getInitialSnapshot(scope, input as never)
  return {
    snapshot: () => snapshot as unknown as Snapshot,
    next(event: Event): unknown[] {
      actions = []
      snapshot = machine.transition(snapshot, event, scope)
      return actions
    },
  }
}

/** What a step gives, or that it throws. */
function outcome(step: () => readonly unknown[]): unknown {
  try {
    return asked(step())
  } catch (thrown) {
    return String(thrown)
  }
}

for (const [name, { machine, input, event }] of Object.entries(heard)) {
  void t.test(`${name}: as xstate does it`, async (t) => {
    const visited = new Set<string>()
    for (let run = 0; run < RUNS; run++) {
      const random = new SimRandom(run)
      const steps = new MachineSteps(machine, input)
      const xstate = reference(machine, input)
      for (let i = 0; i < STEPS && xstate.snapshot().status === 'active'; i++) {
        const heardNow = event(random)
        const expected = { did: outcome(() => xstate.next(heardNow)), state: seenIn(xstate.snapshot()) }
        const found = {
          did: outcome(() => steps.next(heardNow)),
          state: seenIn(steps.snapshot as unknown as Snapshot),
        }
        if (!isDeepStrictEqual(found, expected)) {
          t.strictSame(found, expected, `run ${run}, step ${i}, ${heardNow.type}`)
          return
        }
        visited.add(String(xstate.snapshot().value))
      }
    }
    t.ok(
      visited.size >= Object.keys(machine.states).length * 0.8,
      `${visited.size} states: ${[...visited].join(' ')}`,
    )
  })
}
