import t from 'tap'
import { CommitGate, queryMessage } from '@mirabelle/instance'
import { DispatchFlag, MirabelleError, type Message } from '@mirabelle/messages'
import { realClock, silentLogger, type Connection } from '@mirabelle/runtime'
import { DispatchLane, MAX_PENDING } from '../src/dispatch/dispatch-lane.actor.ts'
import { Session } from '../src/dispatch/session.ts'
import { FakeEngine } from './support/fake-engine.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn()
}

function setUp(syncRep = false) {
  const engine = new FakeEngine()
  const fatal: unknown[] = []
  const lane = new DispatchLane({ clock: realClock, log: silentLogger, engine, resetSql: [] })
  const gate = new CommitGate({ localLsn: engine.lsn, syncRep, onReleased: () => lane.flush() })
  const chunks: number[][] = []
  engine.onWal = (chunk) => {
    chunks.push(lane.settledOf(chunk).map(([seq]) => seq))
  }
  lane.open({ gate, endLsn: () => engine.lsn, generation: 1, onFatal: (error) => fatal.push(error) })
  return { engine, lane, gate, fatal, chunks, session: (epoch = 1) => newSession(lane, epoch) }
}

async function newSession(lane: DispatchLane, epoch: number) {
  const sent: Message[] = []
  let closedBy: MirabelleError | undefined
  // eslint-disable-next-line prefer-const -- the connection's handlers name the session before it exists
  let session: Session
  const connection = {
    send: (message: Message) => sent.push(message),
    close: (reason?: MirabelleError) => {
      closedBy ??= reason
      lane.left(session)
    },
  } as unknown as Connection
  session = new Session(connection, epoch, realClock)
  await lane.admit(session)
  session.opened = true
  let seq = 1
  return {
    session,
    sent,
    closedBy: () => closedBy,
    dispatch: (...statements: (string | { sql: string; flags: number })[]) =>
      lane.dispatch(
        session,
        statements.map((one) => {
          const { sql, flags } = typeof one === 'string' ? { sql: one, flags: 0 } : one
          return [seq++, 1, 0, flags, queryMessage(sql)] as const
        }),
      ),
    done: () => sent.flatMap((one) => (one.type === 'query.done' ? one.items.map((item) => item[0]) : [])),
    frames: () => sent.filter((one) => one.type === 'query.done').length,
    failed: () => sent.flatMap((one) => (one.type === 'query.failed' ? [[one.seq, one.code]] : [])),
  }
}

t.test(
  'statements run in order; answers leave through the gate, all of one release in one frame',
  async (t) => {
    const { engine, gate, session, chunks } = setUp()
    const c = await session()
    c.dispatch('INSERT 1', 'INSERT 2', 'SELECT 3')
    await turns()
    t.same(engine.ran, ['INSERT 1', 'INSERT 2', 'SELECT 3'])
    t.same(c.done(), [], 'run, but durable nowhere')
    gate.localDurable(engine.lsn)
    t.same(c.done(), [1, 2, 3])
    t.equal(c.frames(), 1)
    t.same(chunks.flat(), [1, 2], 'the mirror is told which statements took effect')
    c.dispatch('SELECT 4')
    await turns()
    t.same(c.done(), [1, 2, 3, 4], 'a read behind nothing is answered at once')
  },
)

t.test('with synchronous replication a read waits for the writes that it saw', async (t) => {
  const { engine, gate, session } = setUp(true)
  gate.mirrorDurable(1000)
  const c = await session()
  c.dispatch('INSERT 1', 'SELECT 2')
  await turns()
  gate.localDurable(engine.lsn)
  await turns()
  t.same(c.done(), [])
  gate.mirrorDurable(engine.lsn)
  t.same(c.done(), [1, 2])
})

t.test(
  'a number that comes again, or a statement before the lane is open, ends the connection',
  async (t) => {
    const { lane, session } = setUp()
    const c = await session()
    c.dispatch('SELECT 1')
    t.throws(() => lane.dispatch(c.session, [[1, 1, 0, 0, queryMessage('SELECT 1')]]), {
      code: 'message.bad',
    })
    const stranger = new Session(c.session.connection, 1, realClock)
    t.throws(() => lane.dispatch(stranger, []), { code: 'message.bad' })
  },
)

t.test('a coordinator that sends without reading answers loses the lane at the limit', async (t) => {
  const { engine, session } = setUp()
  engine.auto = false
  const c = await session()
  const many = Array.from({ length: MAX_PENDING }, () => 'SELECT 1')
  c.dispatch(...many)
  t.throws(() => c.dispatch('SELECT 1'), { code: 'queue.full' })
})

t.test('it is told apart whether a statement runs or its answer waits for the mirror', async (t) => {
  const { engine, lane, gate, session } = setUp(true)
  engine.auto = false
  const c = await session()
  c.dispatch('INSERT 1')
  await turns()
  t.equal(lane.hasRun(1), false, 'it runs')
  let finish: () => void = () => undefined
  const own = lane.quietLane(() => new Promise((resolve) => (finish = resolve)), 1000)
  c.dispatch('INSERT 2')
  await engine.step()
  await turns()
  t.equal(lane.hasRun(1), true)
  t.equal(lane.hasRun(2), false, 'it waits for its turn')
  t.same(c.done(), [], 'nothing is durable at the mirror')
  finish()
  await own
  engine.auto = true
  await engine.step()
  await turns()
  t.equal(lane.hasRun(2), true)
  gate.localDurable(engine.lsn)
  gate.mirrorDurable(engine.lsn)
  await turns()
  t.same(c.done(), [1, 2])
})

t.test('cancel reaches a running statement; one that waits outside PostgreSQL never runs', async (t) => {
  const { engine, lane, session } = setUp()
  engine.auto = false
  const c = await session()
  c.dispatch('SELECT 1', 'SELECT 2')
  lane.cancel(c.session, 2)
  await turns()
  t.same(engine.cancelled, [2])
  await engine.step()
  await turns()
  t.same(c.done(), [1])
  t.same(c.failed(), [[2, 'cancelled']])
  // Held back by own SQL.
  let finish: () => void = () => undefined
  const own = lane.quietLane(() => new Promise((resolve) => (finish = resolve)), 1000)
  await turns()
  c.dispatch('SELECT 3', 'SELECT 4')
  lane.cancel(c.session, 3)
  finish()
  t.equal(await own, true)
  engine.auto = true
  await engine.step()
  await turns()
  t.same(c.failed(), [
    [2, 'cancelled'],
    [3, 'cancelled'],
  ])
  t.same(engine.ran, ['SELECT 1', 'SELECT 4'])
})

t.test('a transaction whose coordinator is gone is rolled back before anything else runs', async (t) => {
  const { engine, lane, session } = setUp()
  const old = await session()
  old.dispatch('BEGIN', 'INSERT 1')
  await turns()
  engine.auto = false
  old.dispatch('INSERT 2', 'INSERT 3')
  const opening = newSession(lane, 1)
  await turns()
  t.equal(old.closedBy()?.code, 'connection.lost', 'the newer connection replaces the older')
  t.same(engine.cancelled, [3, 4], 'what still ran is ended')
  t.same(engine.waiting, ['ROLLBACK'])
  engine.auto = true
  await engine.step()
  const fresh = await opening
  fresh.dispatch('SELECT 1')
  await turns()
  t.same(engine.ran, ['BEGIN', 'INSERT 1', 'ROLLBACK', 'SELECT 1'])
  t.same(old.done(), [], 'nothing is told to the older one any more')
})

t.test(
  'a backend that starts anew takes its transaction with it, and nobody after that is refused for it',
  async (t) => {
    const { engine, gate, session } = setUp()
    const c = await session()
    c.dispatch('BEGIN', 'INSERT 1')
    await turns()
    engine.restart()
    // What is sent right behind it knows nothing of that.
    c.dispatch({ sql: 'COMMIT', flags: DispatchFlag.inTransaction }, 'INSERT 2')
    await turns()
    gate.localDurable(engine.lsn)
    await turns()
    t.same(engine.ran, ['BEGIN', 'INSERT 1', 'INSERT 2'], 'there was nothing to commit')
    t.same(c.done(), [1, 2, 3, 4])
    t.same(c.failed(), [])
  },
)

t.test(
  'eviction for a higher epoch ends only when nothing of the older coordinator can run any more',
  async (t) => {
    const { engine, lane, session } = setUp()
    const c = await session()
    c.dispatch('BEGIN')
    await turns()
    engine.auto = false
    let evicted = false
    const evicting = lane.evict(new MirabelleError('epoch.stale', 'epoch 2')).then(() => (evicted = true))
    await turns()
    t.equal(evicted, false)
    t.same(engine.waiting, ['ROLLBACK'])
    await engine.step()
    await evicting
    t.equal(c.closedBy()?.code, 'epoch.stale')
  },
)

t.test('own SQL never runs inside a transaction, and runs between two', async (t) => {
  const { engine, lane, session } = setUp()
  const c = await session()
  c.dispatch('BEGIN')
  await turns()
  let ran = false
  const own = lane.quietLane(async (run) => {
    ran = true
    await run('CHECKPOINT')
  }, 5_000)
  c.dispatch('INSERT 1')
  await turns()
  t.equal(ran, false)
  c.dispatch('COMMIT', 'BEGIN', 'INSERT 2')
  await turns()
  t.equal(ran, false, 'the next transaction had begun already')
  c.dispatch('COMMIT')
  t.equal(await own, true)
  c.dispatch('SELECT 1')
  await turns()
  t.same(engine.ran, ['BEGIN', 'INSERT 1', 'COMMIT', 'BEGIN', 'INSERT 2', 'COMMIT', 'CHECKPOINT', 'SELECT 1'])
})

t.test('own SQL gives up when a transaction stays open, and statements go on', async (t) => {
  const { engine, lane, session } = setUp()
  const c = await session()
  c.dispatch('BEGIN')
  await turns()
  t.equal(await lane.quietLane(() => Promise.reject(new Error('must not run')), 50), false)
  c.dispatch('INSERT 1')
  await turns()
  t.same(engine.ran, ['BEGIN', 'INSERT 1'])
})

t.test(
  'a big answer flows while there is credit, and only after what it can have read is durable',
  async (t) => {
    const { engine, lane, gate, session } = setUp()
    const c = await session()
    c.dispatch('INSERT 1', { sql: 'SELECT big', flags: 1 })
    await turns()
    const pieces = () => c.sent.filter((one) => one.type === 'query.output')
    t.equal(pieces().length, 0, 'the insert before it is not durable yet')
    gate.localDurable(engine.lsn)
    await turns()
    t.equal(c.sent[0]?.type, 'query.done', 'the answer before it goes first')
    t.equal(pieces().length, 2, '1 MiB is under way: PostgreSQL waits')
    c.session.credit(2, 600_000)
    await turns()
    t.equal(pieces().length, 3)
    c.session.credit(2, 600_000)
    c.session.credit(2, 600_000)
    await turns()
    t.equal(pieces().length, 4)
    t.same(c.done(), [1, 2])
    t.equal(lane.depth, 0)
  },
)

t.test(
  'a coordinator that goes away in the middle of a big answer does not hold PostgreSQL up',
  async (t) => {
    const { lane, gate, session } = setUp()
    const c = await session()
    gate.localDurable(5000)
    c.dispatch({ sql: 'SELECT big', flags: 1 })
    await turns()
    lane.left(c.session)
    await turns()
    t.equal(lane.depth, 0)
  },
)

t.test('a big answer that nobody asked to stream goes out in pieces, none over a frame', async (t) => {
  const { session } = setUp()
  const c = await session()
  c.session.done(1, { tag: 1, output: new Uint8Array(2_500_000), lsn: 5, txStatus: 'I', generation: 1 })
  await turns()
  const sizes = c.sent.map((one) => (one.type === 'query.output' ? one.chunk.length : 0))
  t.same(sizes, [1_048_576, 1_048_576, 0])
  const last = c.sent[2]
  t.equal(last?.type === 'query.done' ? last.items[0]?.[4].length : 0, 2_500_000 - 2 * 1_048_576)
})

t.test('a closed lane answers nothing: neither what waited at the gate nor what comes', async (t) => {
  const { engine, lane, gate, session } = setUp()
  const c = await session()
  c.dispatch('INSERT 1')
  await turns()
  const reason = new MirabelleError('not.primary', 'fenced')
  gate.close(reason)
  lane.close(reason)
  gate.localDurable(engine.lsn)
  await turns()
  t.same(c.done(), [])
  t.same(
    c.failed(),
    [],
    'the coordinator learns from the end of the connection, and asks the new primary what took effect',
  )
  t.equal(c.closedBy()?.code, 'not.primary')
  t.throws(() => c.dispatch('SELECT 1'))
})

t.test('quiesced waits for statements, transactions and the gate', async (t) => {
  const { engine, lane, gate, session } = setUp()
  const c = await session()
  c.dispatch('BEGIN', 'INSERT 1')
  await turns()
  let quiet = false
  const waiting = lane.quiesced().then(() => (quiet = true))
  await turns()
  t.equal(quiet, false)
  c.dispatch('COMMIT')
  await turns()
  t.equal(quiet, false, 'the answer has not left')
  gate.localDurable(engine.lsn)
  await waiting
  t.same(c.done(), [1, 2, 3])
})
