import t from 'tap'
import { MirabelleError } from '@mirabelle/messages'
import { silentLogger } from '@mirabelle/runtime'
import { firstColumn, firstErrorCode } from '../src/lanes/backend-bytes.ts'
import { Lane } from '../src/lanes/lane.ts'
import type { LaneRun } from '../src/lanes/lane-run.ts'
import { NO_SETTINGS, type LaneItem } from '../src/lanes/lane-item.ts'
import { queryMessage } from '../src/lanes/frontend-bytes.ts'
import { ManualClock, settle } from './support/manual-clock.ts'
import { FakeSegment } from './support/fake-segment.ts'

const item = (sql: string, over: Partial<LaneItem> = {}): LaneItem => ({
  bytes: queryMessage(sql),
  syncs: 1,
  settings: NO_SETTINGS,
  write: sql.startsWith('W'),
  whenLost: 'rerun',
  ...over,
})
const nothing = () => Promise.resolve()

function setUp() {
  const clock = new ManualClock()
  const segment = new FakeSegment(0)
  const lost: string[] = []
  let opens = 0
  const lane = new Lane({
    content: 0,
    clock,
    log: silentLogger,
    failoverTimeoutMs: () => 30_000,
    onLost: (_content, reason) => lost.push(reason.code),
    onOpen: () => opens++,
  })
  const attach = () => lane.attach(segment.opener('one'), nothing)
  return { clock, segment, lane, lost, attach, opens: () => opens }
}

t.test('statements wait for a backend and run in order when there is one', async (t) => {
  const { lane, segment, attach, opens } = setUp()
  const runs = ['W 1', 'W 2', 'W 3'].map((sql) => lane.run(item(sql)).promise)
  t.notOk(lane.isOpen)
  await attach()
  await Promise.all(runs)
  t.same(segment.committed, ['1', '2', '3'])
  t.equal(opens(), 1)
  t.equal(lane.inFlight, 0)
})

t.test(
  'a write that took effect before the loss is answered with the kept answer, not run again',
  async (t) => {
    const { lane, segment, attach, lost } = setUp()
    await attach()
    segment.fault = (sql) => (sql === 'W 1' ? 'lose-after' : undefined)
    const run = lane.run(item('W 1')).promise
    await settle()
    t.same(lost, ['connection.lost'])
    t.equal(lane.term, 1)
    await attach()
    const result = await run
    t.match(Buffer.from(result.output).toString(), /INSERT 0 1/)
    t.same(segment.committed, ['1'])
  },
)

t.test('a write whose kept answer is gone is told to have taken effect', async (t) => {
  const { lane, segment, attach } = setUp()
  segment.keepAnswers = false
  await attach()
  segment.fault = () => 'lose-after'
  const run = lane.run(item('W 1')).promise
  await settle()
  segment.fault = () => undefined
  await Promise.all([attach(), t.rejects(run, { name: 'LaneLost', tookEffect: 'yes' })])
  t.same(segment.committed, ['1'])
})

t.test('writes that did not take effect and reads run again once, in their order', async (t) => {
  const { lane, segment, attach } = setUp()
  await attach()
  segment.fault = (sql) => (sql === 'W 1' ? 'lose-before' : undefined)
  const first = lane.run(item('W 1')).promise
  const read = lane.run(item('R')).promise
  const second = lane.run(item('W 2')).promise
  await settle()
  segment.fault = () => undefined
  const late = lane.run(item('W 3')).promise
  await attach()
  await Promise.all([first, second, late])
  t.same(firstColumn((await read).output), ['1'], 'the read ran between the two writes')
  t.same(segment.committed, ['1', '2', '3'])
})

t.test('a write below the floor is unknown and does not run again', async (t) => {
  const { lane, segment, attach } = setUp()
  await attach()
  segment.fault = () => 'lose-before'
  const run = lane.run(item('W 1')).promise
  const read = lane.run(item('R')).promise
  await settle()
  segment.fault = () => undefined
  segment.floor = 100
  await Promise.all([attach(), t.rejects(run, { name: 'LaneLost', tookEffect: 'unknown' })])
  await read
  t.same(segment.committed, [])
})

t.test('items of transactions fail at the loss, a COMMIT is looked up', async (t) => {
  const { lane, segment, attach } = setUp()
  await attach()
  segment.fault = () => 'lose-before'
  const part = lane.send(item('W 1', { whenLost: 'fail' })).promise
  const commit = lane.send(item('COMMIT', { whenLost: 'lookup', write: true })).promise
  await Promise.all([t.rejects(part, { name: 'LaneLost' }), settle()])
  segment.fault = () => undefined
  await Promise.all([attach(), t.rejects(commit, { name: 'LaneLost', tookEffect: 'no' })])
  t.same(segment.committed, [])
})

t.test('a statement survives two losses, one of them while it is settled', async (t) => {
  const { lane, segment, attach } = setUp()
  await attach()
  segment.fault = () => 'lose-before'
  const run = lane.run(item('W 1')).promise
  await settle()
  await attach()
  await settle()
  t.notOk(lane.isOpen, 'it ran again and was lost again')
  segment.fault = () => undefined
  await attach()
  await run
  t.same(segment.committed, ['1'])
})

t.test('a statement of which rows have gone out is not run again', async (t) => {
  const { lane, segment, attach } = setUp()
  await attach()
  let backend: { onOutput: (seq: number, chunk: Uint8Array) => unknown } | undefined
  lane.detach(new MirabelleError('not.primary', 'test'))
  await lane.attach((events, nextSeq) => {
    backend = events
    return segment.opener('one')(events, nextSeq)
  }, nothing)
  segment.fault = () => 'hang'
  let seq = 0
  const run = lane.run(item('R', { onOutput: () => undefined, onSent: (number) => (seq = number) })).promise
  await settle()
  void backend?.onOutput(seq, new Uint8Array(3))
  segment.fault = () => undefined
  segment.lose()
  await t.rejects(run, { name: 'LaneLost', tookEffect: 'no' })
  await attach()
  t.same(segment.ran, [])
})

t.test('a backend that was dropped has no more say', async (t) => {
  const { lane, segment, attach, lost } = setUp()
  let old: { onLost: (reason: MirabelleError) => void } | undefined
  await lane.attach((events, nextSeq) => {
    old = events
    return segment.opener('one')(events, nextSeq)
  }, nothing)
  lane.detach(new MirabelleError('not.primary', 'another primary'))
  await attach()
  old?.onLost(new MirabelleError('connection.lost', 'late'))
  t.ok(lane.isOpen)
  t.same(lost, [])
  await lane.run(item('W 1')).promise
})

t.test('a detach ends an attempt that hangs, and the late backend is closed', async (t) => {
  const { lane, segment, attach } = setUp()
  let arrive: (() => void) | undefined
  let closed = 0
  const hanging = lane.attach(
    (events, nextSeq) =>
      new Promise((resolve) => {
        arrive = () => {
          void segment
            .opener('one')(events, nextSeq)
            .then((backend) => {
              resolve({ ...backend, close: () => (closed++, backend.close()) })
            })
        }
      }),
    nothing,
  )
  await settle()
  lane.detach(new MirabelleError('not.primary', 'another primary'))
  await t.rejects(hanging, { code: 'not.primary' })
  arrive?.()
  await settle()
  t.equal(closed, 1)
  await attach()
  t.ok(lane.isOpen)
})

t.test('a backend lost in the moment in which it opens is noticed', async (t) => {
  const { lane, segment } = setUp()
  const attempt = lane.attach(async (events, nextSeq) => {
    const backend = await segment.opener('one')(events, nextSeq)
    segment.lose()
    return backend
  }, nothing)
  await t.rejects(attempt, { code: 'connection.lost' })
  t.notOk(lane.isOpen)
})

t.test(
  'a loss while prepared transactions are resolved keeps the lane closed and lets go of the resolver',
  async (t) => {
    const { lane, segment, attach } = setUp()
    const attempt = lane.attach(segment.opener('one'), () => new Promise(() => {}))
    await settle()
    segment.lose()
    await t.rejects(attempt, { code: 'connection.lost' })
    await attach()
    t.ok(lane.isOpen)
  },
)

t.test('an old resolver cannot run anything on the next backend', async (t) => {
  const { lane, segment, attach } = setUp()
  let go: (() => Promise<unknown>) | undefined
  const attempt = lane.attach(segment.opener('one'), (run) => {
    go = () => run(item('W resolver', { whenLost: 'fail' }))
    return new Promise(() => {})
  })
  await settle()
  segment.lose()
  await t.rejects(attempt)
  await attach()
  await t.rejects(go?.() ?? nothing(), { name: 'LaneLost', tookEffect: 'no' })
  t.same(segment.committed, [])
})

t.test('a resolver that fails keeps the lane closed', async (t) => {
  const { lane, segment } = setUp()
  await t.rejects(
    lane.attach(segment.opener('one'), () => Promise.reject(new MirabelleError('not.ready', 'no'))),
    { code: 'not.ready' },
  )
  t.notOk(lane.isOpen)
})

t.test(
  'who waits longer than failover_timeout is told which content is missing, and so are newcomers',
  async (t) => {
    const { lane, clock, attach } = setUp()
    const run = lane.run(item('W 1')).promise
    const refused = t.rejects(run, { code: 'content.unavailable', message: /content 0 .* 30000 ms/ })
    await clock.advance(30_001)
    await refused
    await t.rejects(lane.run(item('W 2')).promise, { code: 'content.unavailable' })
    await attach()
    await lane.run(item('W 3')).promise
    t.equal(lane.unavailable, undefined)
  },
)

t.test('the time limit also holds while the resolver waits for another content', async (t) => {
  const { lane, clock, segment } = setUp()
  void lane.attach(segment.opener('one'), () => new Promise(() => {})).catch(() => undefined)
  const run = lane.run(item('W 1')).promise
  const refused = t.rejects(run, { code: 'content.unavailable' })
  await clock.advance(30_001)
  await refused
})

t.test('orphans end with the outage: writes as unknown, reads with the reason', async (t) => {
  const { lane, clock, segment, attach } = setUp()
  await attach()
  segment.fault = () => 'lose-before'
  const write = lane.run(item('W 1')).promise
  const read = lane.run(item('R')).promise
  const both = Promise.all([
    t.rejects(write, { name: 'LaneLost', tookEffect: 'unknown' }),
    t.rejects(read, { code: 'content.unavailable' }),
  ])
  await settle()
  await clock.advance(30_001)
  await both
  segment.fault = () => undefined
  await attach()
  t.same(segment.ran, [])
})

t.test(
  'an open lane serves whatever is said of it; the word counts from its loss on until it is taken back',
  async (t) => {
    const { lane, segment, attach } = setUp()
    await attach()
    lane.setUnavailable(new MirabelleError('content.unavailable', 'down'))
    t.equal(lane.unavailable, undefined)
    const holder = lane.hold(
      { age: 1, requeueable: false, deadlockVictim() {} },
      () => {},
      () => {},
    )
    const waiting = lane.run(item('W 1')).promise
    const refused = t.rejects(waiting, { message: 'down' })
    segment.lose()
    await refused
    t.match(lane.unavailable, { message: 'down' })
    lane.setAvailable()
    t.equal(lane.unavailable, undefined)
    if ('queue' in holder) lane.queue.leave(holder)
    const run = lane.run(item('W 2')).promise
    await attach()
    await run
    t.same(segment.committed, ['2'])
  },
)

t.test('a cancel reaches a statement wherever it is', async (t) => {
  const { lane, segment, attach } = setUp()
  const waiting = lane.run(item('W 1'))
  waiting.cancel()
  await t.rejects(waiting.promise, { code: 'cancelled' })
  await attach()
  segment.fault = () => 'hang'
  const running = lane.run(item('W 2'))
  await settle()
  running.cancel()
  await t.rejects(running.promise, { code: 'cancelled' })
  const read = lane.run(item('R'))
  const write = lane.run(item('W 3'))
  await settle()
  segment.lose()
  read.cancel()
  write.cancel()
  await t.rejects(read.promise, { code: 'cancelled' })
  segment.fault = () => undefined
  await Promise.all([attach(), t.rejects(write.promise, { code: 'cancelled' })])
  t.same(segment.committed, [])
})

t.test('what was cancelled on a segment that hangs does not run again after the failover', async (t) => {
  const { lane, segment, attach, clock } = setUp()
  await attach()
  segment.deaf = true
  segment.fault = () => 'hang'
  const [first, queued] = ['W 1', 'W 2'].map((sql) => lane.run(item(sql))) as [LaneRun, LaneRun]
  const [read, unread] = [0, 1].map(() => lane.run(item('R', { whenLost: 'lookup' }))) as [LaneRun, LaneRun]
  await settle()
  let ended = 0
  for (const run of [first, queued, read]) {
    run.cancel()
    run.promise.catch(() => ended++)
  }
  await clock.advance(1_000)
  await t.rejects(read.promise, { code: 'cancelled' }, 'a read ends without an answer of the segment')
  t.equal(ended, 1, 'what became of a write is not known yet')
  unread.cancel()
  segment.lose()
  await t.rejects(unread.promise, { code: 'cancelled' }, 'at the loss of the segment at the latest')
  segment.deaf = false
  segment.fault = () => undefined
  await Promise.all([
    attach(),
    t.rejects(first.promise, { code: 'cancelled' }),
    t.rejects(queued.promise, { code: 'cancelled' }),
  ])
  t.same(segment.committed, [], 'nothing of it has taken effect')
  await clock.advance(1_000)
  t.equal(clock.pending, 0)
})

t.test('a cancelled write that had taken effect is answered as such', async (t) => {
  const { lane, segment, attach } = setUp()
  await attach()
  segment.fault = () => 'lose-after'
  const run = lane.run(item('W 1'))
  await settle()
  run.cancel()
  segment.fault = () => undefined
  await attach()
  t.match(Buffer.from((await run.promise).output).toString(), /INSERT/)
})

t.test('reopen asks for the backend anew and fails what belongs to transactions', async (t) => {
  const { lane, lost, attach } = setUp()
  await attach()
  const part = lane.send(item('W 1', { whenLost: 'fail' })).promise
  const failed = t.rejects(part, { name: 'LaneLost', tookEffect: 'unknown' })
  lane.reopen('something is left')
  await failed
  t.same(lost, ['connection.lost'])
  t.notOk(lane.isOpen)
})

t.test('a closed lane refuses and is not opened again', async (t) => {
  const { lane, attach, clock } = setUp()
  await attach()
  lane.close(new MirabelleError('not.ready', 'stopping'))
  await attach()
  t.notOk(lane.isOpen)
  await t.rejects(lane.run(item('W 1')).promise, { code: 'not.ready' })
  t.equal(clock.pending, 0, 'no timer is left')
})

t.test(
  'a statement whose preparation a restarted backend has forgotten is prepared and run again',
  async (t) => {
    const { lane } = setUp()
    const sent: { seq: number; bytes: Uint8Array }[] = []
    let events: Parameters<Parameters<typeof lane.attach>[0]>[0] | undefined
    await lane.attach((given) => {
      events = given
      const send = (seq: number, bytes: Uint8Array) => void sent.push({ seq, bytes })
      return Promise.resolve({
        generation: 1,
        send,
        cancel() {},
        close() {},
        hasRun: () => Promise.reject(new Error('not asked')),
        settled: () => Promise.reject(new Error('not asked')),
      })
    }, nothing)
    const answer = (output: string, generation: number, seq = sent.at(-1)?.seq ?? 0) => {
      events?.onDone(seq, { output: Buffer.from(output, 'latin1'), lsn: 1, txStatus: 'I', generation })
    }
    const parse = Buffer.from('P-parse-message')
    const bound = item('bind', { statement: { name: 's1', parse } })
    const prepared = '3\0\0\0\x041\0\0\0\x042\0\0\0\x04'
    const first = lane.run(bound).promise
    answer(prepared, 1)
    await first
    const second = lane.run(bound).promise
    t.notOk(Buffer.from((sent.at(-1) as { bytes: Uint8Array }).bytes).includes(parse), 'known to be there')
    const read = lane.run({ ...bound, write: false, whenLost: 'lookup' }).promise
    const begun = lane.run({ ...bound, lead: ['BEGIN'], whenLost: 'fail' }).promise
    const fields = 'SERROR\0C26000\0Mprepared statement "s1" does not exist\0\0'
    const length = Buffer.alloc(4)
    length.writeUInt32BE(fields.length + 4)
    const forgotten = `E${length.toString('latin1')}${fields}`
    const [one, two, three] = sent.slice(1).map(({ seq }) => seq)
    for (const seq of [one, two, three]) answer(forgotten, 2, seq)
    t.equal(sent.length, 6, 'the two that are whole were sent again')
    t.ok(Buffer.from((sent[4] as { bytes: Uint8Array }).bytes).includes(parse), 'prepared on the way')
    t.equal(firstErrorCode((await begun).output), '40001', 'a transaction has begun in vain')
    answer(prepared, 2, sent[4]?.seq)
    answer('2\0\0\0\x04', 2)
    t.equal((await second).output.byteLength, 5)
    t.equal((await read).output.byteLength, 5)
  },
)

/** Room for two of the statements of these tests. */
const NARROW = { items: 2, bytes: 1_000, itemBytes: 2_000 }

t.test('a segment gets no more at a time than it takes, in the order of the lane', async (t) => {
  const { lane, segment, attach, lost } = setUp()
  segment.limits = NARROW
  await attach()
  const big = 'x'.repeat(900)
  const texts = ['1', '2', '3', big, '4', 'y'.repeat(1_500), '5', '6']
  await Promise.all(texts.map((text) => lane.run(item(`W ${text}`)).promise))
  t.same(segment.committed, texts)
  t.equal(segment.most, 2)
  t.same(lost, [])
  await t.rejects(lane.run(item(`W ${'z'.repeat(2_000)}`)).promise, { code: 'frame.bad' })
  t.equal(lane.inFlight, 0)
})

t.test('what waits for room when the backend is lost is known not to have run', async (t) => {
  const { lane, segment, attach } = setUp()
  segment.limits = NARROW
  await attach()
  segment.fault = (sql) => (sql === 'W 1' ? 'hang' : undefined)
  const runs = ['1', '2', '3', '4'].map((text) => lane.run(item(`W ${text}`)).promise)
  const commit = t.rejects(lane.run(item('W 5', { whenLost: 'lookup' })).promise, {
    name: 'LaneLost',
    tookEffect: 'no',
  })
  await settle()
  segment.lose()
  segment.fault = () => undefined
  await attach()
  await Promise.all([...runs, commit])
  t.same(segment.committed, ['1', '2', '3', '4'])
})

t.test('what waits for room can be cancelled, but for a part of a transaction: that is sent', async (t) => {
  const { lane, segment, attach } = setUp()
  segment.limits = NARROW
  await attach()
  segment.fault = (sql) => (sql === 'W 1' ? 'hang' : undefined)
  const [first, second, third, part, last] = [
    lane.run(item('W 1')),
    lane.run(item('W 2')),
    lane.run(item('W 3')),
    lane.run(item('R', { inTransaction: true })),
    lane.run(item('W 4')),
  ] as const
  await settle()
  const interrupted = t.rejects(part.promise, { code: 'cancelled' }, 'where it runs')
  part.cancel()
  const cancelled = t.rejects(third.promise, { code: 'cancelled' })
  third.cancel()
  await cancelled
  const stopped = t.rejects(first.promise, { code: 'cancelled' })
  first.cancel()
  await stopped
  await second.promise
  await interrupted
  await last.promise
  t.same(segment.committed, ['2', '4'])
})
