import t from 'tap'
import { realClock, silentLogger, type Clock } from '@mirabelle/runtime'
import { CommitGate } from '../src/gate/commit-gate.ts'
import { StandbyPolicy } from '../src/primary/standby-policy.ts'
import { noMirror } from './support/one-instance.ts'

/** A clock whose time passes only when told. */
function manualClock() {
  let now = 0
  let timers: { at: number; fn: () => void }[] = []
  const clock: Clock = {
    ...realClock,
    monotonic: () => now,
    setTimer: (ms, fn) => {
      const timer = { at: now + ms, fn }
      timers.push(timer)
      return { clear: () => void (timers = timers.filter((one) => one !== timer)) }
    },
  }
  const pass = (ms: number) => {
    now += ms
    const due = timers.filter((one) => one.at <= now)
    timers = timers.filter((one) => one.at > now)
    for (const one of due) one.fn()
  }
  return { clock, pass }
}
const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await Promise.resolve()
}

function setUp(options: { standby?: number | null } = {}) {
  const standby = options.standby === undefined ? 2 : options.standby
  const { clock, pass } = manualClock()
  const gate = new CommitGate({ localLsn: 100, syncRep: standby !== null, onReleased: () => undefined })
  const marks: boolean[] = []
  const world = {
    standby,
    mirror: noMirror,
    fail: false,
    hold: undefined as (() => void) | undefined,
    holding: false,
  }
  const policy = new StandbyPolicy({
    clock,
    log: silentLogger,
    gate,
    mirror: () => world.mirror,
    standbyDbid: () => world.standby,
    mark: async (stale) => {
      marks.push(stale)
      if (world.holding) await new Promise<void>((resolve) => (world.hold = resolve))
      if (world.fail) throw new Error('no segment answers')
    },
  })
  return { gate, policy, marks, world, pass }
}
const streaming = (flushLsn: number) => ({ ...noMirror, state: 'streaming' as const, dbid: 2, flushLsn })

t.test('without a standby in the catalog commits never wait, and nothing is marked', (t) => {
  const { gate, marks } = setUp({ standby: null })
  t.equal(gate.syncRep, false)
  t.same(marks, [])
  t.end()
})

t.test(
  'a coordinator that starts waits a moment for its standby, then records that it goes on without it',
  async (t) => {
    const { gate, marks, pass } = setUp()
    let told = false
    gate.wait(100, () => (told = true))
    pass(999)
    t.same(marks, [])
    t.equal(told, false)
    pass(1)
    t.same(marks, [true])
    t.equal(told, false, 'not before the mark is durable')
    await settle()
    t.equal(told, true)
  },
)

t.test(
  'the standby is lost: the mark first, then commits go on; while the mark cannot be written they wait',
  async (t) => {
    const { gate, policy, marks, world, pass } = setUp()
    world.mirror = streaming(100)
    policy.evaluate()
    await settle()
    t.same(marks, [false], 'it has everything: recorded')
    let told = false
    gate.localDurable(200)
    gate.wait(200, () => (told = true))
    world.mirror = { ...noMirror }
    world.fail = true
    policy.evaluate()
    await settle()
    pass(200)
    await settle()
    t.same(marks, [false, true, true])
    t.equal(told, false)
    world.fail = false
    pass(200)
    await settle()
    t.equal(told, true)
    t.equal(gate.syncRep, false)
  },
)

t.test(
  'a standby that comes back is waited for at once, and its mark is taken back only when it has what was told',
  async (t) => {
    const { gate, policy, marks, world, pass } = setUp()
    pass(1000)
    await settle()
    gate.wait(100, () => undefined)
    t.equal(gate.releasedLsn, 100)
    world.mirror = streaming(60)
    policy.evaluate()
    t.equal(gate.syncRep, true)
    t.same(marks, [true])
    world.mirror = streaming(100)
    pass(50)
    await settle()
    t.same(marks, [true, false])
  },
)

t.test(
  'a standby that comes back while the mark is written: commits go on waiting, the mark is taken back',
  async (t) => {
    const { gate, policy, marks, world } = setUp()
    world.mirror = streaming(100)
    policy.evaluate()
    await settle()
    world.mirror = { ...noMirror }
    world.holding = true
    policy.evaluate()
    world.mirror = streaming(100)
    policy.evaluate()
    world.holding = false
    world.hold?.()
    await settle()
    await settle()
    t.equal(gate.syncRep, true)
    t.same(marks, [false, true, false])
  },
)

t.test('a standby that takes the place of a removed one is recorded anew', async (t) => {
  const { gate, policy, marks, world } = setUp()
  world.mirror = streaming(100)
  policy.evaluate()
  await settle()
  t.same(marks, [false])
  world.standby = null
  world.mirror = { ...noMirror }
  policy.evaluate()
  t.equal(gate.syncRep, false, 'nobody is waited for')
  world.standby = 3
  world.mirror = { ...streaming(100), dbid: 3 }
  policy.evaluate()
  await settle()
  t.same(marks, [false, false], 'what was recorded of the old one does not count for the new one')
  t.equal(gate.syncRep, true)
})
