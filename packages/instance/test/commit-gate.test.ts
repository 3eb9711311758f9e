import t from 'tap'
import fc from 'fast-check'
import { MirabelleError } from '@mirabelle/messages'
import { CommitGate } from '../src/gate/commit-gate.ts'

function make(syncRep: boolean, localLsn = 0) {
  let batches = 0
  const gate = new CommitGate({ localLsn, syncRep, onReleased: () => void batches++ })
  return { gate, batches: () => batches }
}

t.test('an answer waits for the local disk and, with synchronous replication on, for the mirror', (t) => {
  const { gate } = make(true)
  const told: string[] = []
  gate.wait(100, () => told.push('a'))
  gate.localDurable(100)
  t.same(told, [], 'durable here only')
  gate.mirrorDurable(99)
  t.same(told, [], 'the mirror lacks one byte')
  gate.mirrorDurable(100)
  t.same(told, ['a'])
  t.equal(gate.releasedLsn, 100)
  gate.wait(200, () => told.push('b'))
  gate.mirrorDurable(300)
  t.same(told, ['a'], 'the mirror may be ahead of the local disk; that is not enough')
  gate.localDurable(250)
  t.same(told, ['a', 'b'])
  t.end()
})

t.test(
  'with synchronous replication off only the local disk counts; turning it off releases who waits',
  (t) => {
    const { gate } = make(true)
    const told: number[] = []
    for (const lsn of [10, 20, 30]) gate.wait(lsn, () => told.push(lsn))
    gate.localDurable(20)
    t.same(told, [])
    gate.setSyncRep(false)
    t.same(told, [10, 20])
    t.equal(gate.waiting, 1)
    gate.setSyncRep(true)
    gate.localDurable(30)
    t.same(told, [10, 20], 'on again: waits for the mirror')
    t.end()
  },
)

t.test(
  'a read behind an unreleased write waits for it although its own LSN is durable (I1 for reads)',
  (t) => {
    const { gate } = make(false, 100)
    const told: string[] = []
    gate.wait(150, () => told.push('write'))
    gate.wait(100, () => told.push('read'))
    t.same(told, [])
    gate.localDurable(150)
    t.same(told, ['write', 'read'])
    t.end()
  },
)

t.test('what is released in one go is one batch', (t) => {
  const { gate, batches } = make(false)
  for (let lsn = 1; lsn <= 50; lsn++) gate.wait(lsn, () => undefined)
  gate.localDurable(50)
  t.equal(batches(), 1)
  t.end()
})

t.test('a closed gate releases nothing, fails who waits, and fails who comes', (t) => {
  const { gate } = make(true)
  const outcomes: (string | undefined)[] = []
  gate.wait(10, (error) => outcomes.push(error?.code))
  gate.close(new MirabelleError('not.primary', 'fenced'))
  gate.localDurable(10)
  gate.mirrorDurable(10)
  gate.setSyncRep(false)
  gate.wait(1, (error) => outcomes.push(error?.code))
  t.same(outcomes, ['not.primary', 'not.primary'])
  t.equal(gate.releasedLsn, 0)
  t.end()
})

t.test(
  'whatever happens, answers come in order and never before they are durable where they must be',
  (t) => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('wait' as const), by: fc.nat(20) }),
      fc.record({ kind: fc.constant('local' as const), by: fc.nat(30) }),
      fc.record({ kind: fc.constant('mirror' as const), by: fc.integer({ min: -10, max: 30 }) }),
      fc.record({ kind: fc.constant('sync' as const), by: fc.nat(1) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.boolean(), (steps, initial) => {
        const { gate } = make(initial)
        let syncRep = initial
        let [end, local, mirror] = [0, 0, 0]
        let next = 0
        let waits = 0
        for (const one of steps) {
          if (one.kind === 'wait') {
            end += one.by
            const lsn = end
            const number = waits++
            gate.wait(lsn, (error) => {
              if (error !== undefined) throw error
              if (number !== next) throw new Error(`answer ${number} came when ${next} was due`)
              next++
              if (lsn > local || (syncRep && lsn > mirror)) throw new Error(`I1 broken at ${lsn}`)
            })
          } else if (one.kind === 'local') {
            local = Math.min(end, local + one.by)
            gate.localDurable(local)
          } else if (one.kind === 'mirror') {
            mirror = Math.max(0, mirror + one.by)
            gate.mirrorDurable(mirror)
          } else {
            syncRep = one.by === 1
            gate.setSyncRep(syncRep)
          }
        }
        syncRep = false
        gate.setSyncRep(false)
        local = end
        gate.localDurable(end)
        if (next !== waits) throw new Error(`${waits - next} answers never came`)
      }),
      { numRuns: 500 },
    )
    t.end()
  },
)

t.test(
  'while the mirror is away and commits wait for it nothing is told, not even what it has',
  async (t) => {
    const gate = new CommitGate({ localLsn: 100, syncRep: true, onReleased() {} })
    gate.mirrorDurable(100)
    const told: string[] = []
    gate.wait(50, () => told.push('with the mirror'))
    gate.setMirrorAway(true)
    gate.wait(60, () => told.push('read'))
    gate.mirrorDurable(100)
    t.same(told, ['with the mirror'], 'an acknowledgement that was still on its way changes nothing')
    gate.setMirrorAway(false)
    t.same(told, ['with the mirror', 'read'])
    gate.setMirrorAway(true)
    gate.wait(70, () => told.push('alone'))
    gate.setSyncRep(false)
    t.same(told, ['with the mirror', 'read', 'alone'])
  },
)
