/** The fault injector, faults as text, and messages that pass their points on real connections. */
import t, { type Test } from 'tap'
import type { Fault } from '@mirabelle/messages'
import { answerFault } from '../src/fault/answer-fault.ts'
import { FaultInjector } from '../src/fault/fault-injector.ts'
import { parseFaults } from '../src/fault/fault-text.ts'
import { allowFaults, faults, faultsOf } from '../src/fault/faults.ts'
import { realNetwork } from '../src/net/real-network.ts'
import type { Connection, Hello, Party } from '../src/ports/network.ts'
import { recordingLogger } from './suites/recording-logger.ts'

const fault = (over: Partial<Fault> = {}): Fault => ({
  point: 'promotion.role',
  action: 'error',
  startOccurrence: 1,
  endOccurrence: 1,
  sleepMs: 0,
  content: null,
  ...over,
})

t.test('a process that was not started with fault points allowed has none, and refuses', async (t) => {
  allowFaults(['cli'], {})
  t.equal(faults, undefined)
  await t.rejects(async () => void (await answerFault({ type: 'fault.status' })), { code: 'fault.refused' })
  t.equal(answerFault({ type: 'ok' }), undefined, 'what is not about fault points is not answered here')
})

t.test('a fault happens from its first occurrence to its last', async (t) => {
  const injector = new FaultInjector()
  injector.inject(fault({ startOccurrence: 2, endOccurrence: 3 }))
  const outcomes: string[] = []
  for (let i = 0; i < 4; i++) {
    outcomes.push(
      await injector.at('promotion.role').then(
        () => 'passed',
        (error: { code: string }) => error.code,
      ),
    )
    outcomes.push(injector.rows()[0]?.state ?? '')
  }
  t.same(outcomes, [
    'passed',
    'set',
    'fault.injected',
    'triggered',
    'fault.injected',
    'completed',
    'passed',
    'completed',
  ])
  t.equal(injector.rows()[0]?.hits, 4)
  t.throws(() => injector.inject(fault()), { code: 'fault.refused' }, 'one fault at a point')
  injector.reset(null)
  t.same(injector.rows(), [])
})

t.test('what is suspended waits until it is resumed or reset, and is waited for', async (t) => {
  const injector = new FaultInjector()
  injector.inject(fault({ action: 'suspend', endOccurrence: -1 }))
  const gone: number[] = []
  const reached = injector.reached('promotion.role', 2, 10_000)
  for (const one of [1, 2]) void injector.at('promotion.role').then(() => gone.push(one))
  await reached
  t.match(injector.rows(), [{ state: 'triggered', hits: 2, suspended: 2 }])
  t.same(gone, [])
  injector.resume('promotion.role')
  await injector.at('promotion.role')
  t.same(gone, [1, 2], 'nothing is suspended there any more')
  t.match(injector.rows(), [{ state: 'completed', suspended: 0 }])
  await t.rejects(injector.reached('promotion.role', 9, 5), { code: 'timeout' })
  t.throws(() => injector.resume('promotion.begin'), { code: 'fault.refused' })
})

t.test('a fault for one content leaves the others alone', async (t) => {
  const injector = new FaultInjector()
  injector.inject(fault({ point: 'two-phase.prepare', content: 1 }))
  await injector.at('two-phase.prepare', { content: 0 })
  t.equal(injector.rows()[0]?.hits, 0, 'nor does it count them')
  await t.rejects(injector.at('two-phase.prepare', { content: 1 }), { code: 'fault.injected' })
})

t.test('only messages can be skipped, occurrences must be a range, points must exist', (t) => {
  const injector = new FaultInjector()
  for (const wrong of [
    { action: 'skip' },
    { startOccurrence: 0 },
    { startOccurrence: 3, endOccurrence: 2 },
    { point: 'no.such-point' as 'promotion.role' },
    { point: 'send.fault.status' as 'send.ok' },
  ] as const)
    t.throws(() => injector.inject(fault(wrong)), { code: 'fault.refused' })
  injector.inject(fault({ point: 'send.segment.promote', action: 'skip' }))
  t.end()
})

t.test('a thread that is busy sees what is set at its points, and can be let go', (t) => {
  const { thread } = new FaultInjector()
  const crashed: string[] = []
  const at = () =>
    thread.at('fsync.data.before', (point): never => {
      crashed.push(point)
      throw new Error('crashed')
    })
  at()
  t.equal(thread.hits('fsync.data.before'), 0, 'it costs nothing, and counts nothing, before')
  thread.set({
    ...fault({ action: 'error', startOccurrence: 2, endOccurrence: 2 }),
    point: 'fsync.data.before',
  })
  at()
  t.throws(at, /fsync\.data\.before/)
  at()
  t.equal(thread.hits('fsync.data.before'), 3)
  thread.set({ ...fault({ action: 'crash' }), point: 'fsync.data.before' })
  t.throws(at, /crashed/)
  t.same(crashed, ['fsync.data.before'])
  thread.clear('fsync.data.before')
  at()
  t.end()
})

t.test('faults can be in a file, which each process reads when it starts', (t) => {
  const dir = t.testdir({ faults: 'promotion.role=crash,in=dbid4' })
  t.match(faultsOf({ MIRABELLE_FAULT_POINTS: `@${dir}/faults` }), [{ process: 'dbid4' }])
  t.same(
    faultsOf({ MIRABELLE_FAULT_POINTS: `@${dir}/none` }),
    [],
    'without the file they are allowed, and none is set',
  )
  t.equal(faultsOf({}), undefined)
  t.end()
})

t.test('faults as text', (t) => {
  t.same(parseFaults('allow'), [])
  t.same(
    parseFaults('promotion.role=crash,in=dbid4; receive.fts.probe=sleep,start=2,end=-1,ms=50,content=0'),
    [
      { process: 'dbid4', fault: fault({ action: 'crash' }) },
      {
        process: undefined,
        fault: {
          point: 'receive.fts.probe',
          action: 'sleep',
          startOccurrence: 2,
          endOccurrence: -1,
          sleepMs: 50,
          content: 0,
        },
      },
    ],
  )
  for (const wrong of [
    'promotion',
    'promotion.rôle=crash',
    'promotion.role=explode',
    'promotion.role=crash,start=two',
    'promotion.role=crash,where=here',
    'promotion.role=crash,in=',
  ])
    t.throws(() => parseFaults(wrong), { code: 'fault.refused' }, wrong)
  t.end()
})

// From here on this process has fault points: connections that are made now look at them.
t.test('messages pass their points in order, are dropped, held up, or end their connection', async (t) => {
  allowFaults(['cli'], { MIRABELLE_FAULT_POINTS: 'send.fts.probe=crash,in=dbid7' })
  const injector = faults as FaultInjector
  t.same(injector.rows(), [], 'what is meant for another process is not set here')
  const { near, got } = await pair(t)

  injector.inject(fault({ point: 'send.dispatch.open', action: 'suspend' }))
  near.send({ type: 'query.cancel', seq: 1 })
  near.send({ type: 'dispatch.open', dbid: 2, content: 0, epoch: 1, incarnation: 'i', nextSeq: 1 })
  near.send({ type: 'query.cancel', seq: 2 })
  await got(1)
  t.equal(injector.rows()[0]?.suspended, 1)
  injector.resume('send.dispatch.open')
  t.same(await got(3), ['query.cancel', 'dispatch.open', 'query.cancel'], 'what came behind it waited')

  injector.inject(fault({ point: 'receive.query.cancel', action: 'skip' }))
  near.send({ type: 'query.cancel', seq: 3 })
  near.send({ type: 'ok' })
  t.same((await got(4)).slice(3), ['ok'], 'the first one was dropped')

  injector.inject(fault({ point: 'send.error', action: 'skip' }))
  await t.rejects(near.request({ type: 'instance.status' }, 100), { code: 'timeout' }, 'an answer was lost')
  t.equal(injector.rows().find(({ point }) => point === 'send.error')?.state, 'completed')

  injector.inject(fault({ point: 'send.fts.probe', content: 1 }))
  const probe = { type: 'fts.probe', dbid: 2, epoch: 1, mirror: null } as const
  near.send({ ...probe, content: 0 })
  await got(6)
  await t.rejects(near.request({ ...probe, content: 1 }, 5_000), { code: 'fault.injected' })
  t.equal(near.closed, true, 'the connection has ended with it')
})

async function pair(t: Test): Promise<{ near: Connection; got: (count: number) => Promise<string[]> }> {
  const party: Party = { clusterId: 'c', kind: 'instance', dbid: 2, content: 0, name: 'h1' }
  const hello: Hello = { ...party, dbid: 1, content: -1, name: 'h0', purpose: 'control', epoch: 1 }
  const { log } = recordingLogger()
  const network = realNetwork({ clusterKey: Buffer.alloc(32, 7), log })
  const seen: string[] = []
  const waiting: (() => void)[] = []
  const listener = await network.listen(
    { addresses: ['127.0.0.1'], port: 0 },
    () => party,
    (connection) => {
      connection.setHandlers({
        onMessage: (message, respond) => {
          seen.push(message.type)
          if (message.type === 'instance.status') respond?.fail(new Error('never told'))
          for (const look of waiting.splice(0)) look()
        },
        onClose: () => undefined,
      })
    },
  )
  const near = await network.connect({ addresses: ['127.0.0.1'], port: listener.port }, hello, {
    timeoutMs: 5_000,
    silenceTimeoutMs: 0,
  })
  near.setHandlers({ onMessage: () => undefined, onClose: () => undefined })
  t.teardown(async () => {
    near.close()
    await listener.close()
  })
  const got = async (count: number): Promise<string[]> => {
    while (seen.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
    return [...seen]
  }
  return { near, got }
}
