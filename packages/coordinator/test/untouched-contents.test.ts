/** A content that fails over does not take along those that statements need beside it: nobody holds a lane while waiting for one without a backend. */
import t from 'tap'
import { Foresight } from '../src/dtx/foresight.ts'
import { enterLane } from '../src/lanes/enter-lane.ts'
import { MirabelleError } from '@mirabelle/messages'
import { type Cluster, failing, item, opened, writing } from './support/dispatched-cluster.ts'
import { settle } from './support/manual-clock.ts'

/** Content 0 loses its primary, and has none until `open`. */
function failOver(cluster: Cluster): void {
  cluster.segment(0).reachable = false
  cluster.segment(0).lose()
}

async function comesBack(cluster: Cluster): Promise<void> {
  cluster.segment(0).reachable = true
  await cluster.clock.advance(100)
}

const passes = (cluster: Cluster, sql: string) => cluster.dispatcher.runOne(1, item(sql)).promise

for (const kind of ['readMany', 'writeMany'] as const) {
  t.test(`${kind} waits for the content that fails over, and lets others pass on the rest`, async (t) => {
    const cluster = await opened()
    failOver(cluster)
    await settle()
    const both = cluster.dispatcher[kind]([0, 1], () => item(kind === 'readMany' ? 'R' : 'W both'))
    await settle()
    await passes(cluster, 'W beside')
    t.same(cluster.segment(1).committed, ['beside'])
    await comesBack(cluster)
    t.equal((await both).length, 2)
    await cluster.clock.advance(100)
    cluster.rest(t)
  })

  t.test(`${kind} that waits for one lane when another one is lost begins again`, async (t) => {
    const cluster = await opened()
    const holder = cluster.dispatcher.begin()
    await holder.touch([1])
    const both = cluster.dispatcher[kind]([0, 1], () => item(kind === 'readMany' ? 'R' : 'W both'))
    await settle()
    failOver(cluster)
    await settle()
    await holder.rollback()
    await passes(cluster, 'W beside')
    await comesBack(cluster)
    t.equal((await both).length, 2)
    await cluster.clock.advance(100)
    cluster.rest(t)
  })
}

t.test('who waits for a content that is given up gets its error; who is cancelled, that', async (t) => {
  const cluster = await opened()
  failOver(cluster)
  await settle()
  const waiting = cluster.dispatcher.begin()
  const touched = waiting.touch([0, 1])
  const cancelled = cluster.dispatcher.begin()
  let cancel: (error: Error) => void = () => undefined
  const ended = cancelled.touch([1, 0], { onWait: (fail) => (cancel = fail) })
  await settle()
  cancel(new Error('enough'))
  await t.rejects(ended, { message: 'enough' })
  cluster.dispatcher.setUnavailable(0, new MirabelleError('content.unavailable', 'content 0 is gone'))
  await t.rejects(touched, { message: 'content 0 is gone' })
  await t.rejects(cancelled.touch([0]), { message: 'content 0 is gone' })
  t.notOk(waiting.holds(1) || cancelled.holds(1))
  cluster.dispatcher.setAvailable(0)
  await comesBack(cluster)
  cluster.rest(t)
})

t.test('a transaction that has lost a content is rolled back on the others at once', async (t) => {
  const cluster = await opened()
  const transaction = await writing(cluster, [0, 1])
  failOver(cluster)
  await settle()
  await passes(cluster, 'W beside')
  t.same(cluster.segment(1).committed, ['beside'])
  await t.rejects(transaction.run(1, item('W more')).promise, { name: 'LaneLost', content: 0 })
  await t.rejects(transaction.commit(), failing('40001'))
  await comesBack(cluster)
  t.same(cluster.segment(1).committed, ['beside'])
  cluster.rest(t)
})

t.test('and does not go on waiting for a lane', async (t) => {
  const cluster = await opened()
  const holder = cluster.dispatcher.begin()
  await holder.touch([2])
  const transaction = await writing(cluster, [0])
  const waiting = transaction.touch([2])
  await settle()
  failOver(cluster)
  await t.rejects(waiting, { name: 'LaneLost', content: 0 })
  await transaction.rollback()
  await holder.rollback()
  await comesBack(cluster)
  cluster.rest(t)
})

t.test(
  'a transaction that holds what others wait for makes way when a failover takes long, and not before',
  async (t) => {
    for (const [othersCome, waitsMs] of [
      ['at once', 490],
      ['late', 2_000],
    ] as const) {
      const cluster = await opened()
      const transaction = await writing(cluster, [1])
      failOver(cluster)
      await settle()
      let ended = ''
      const touched = transaction.touch([0]).then(
        () => (ended = 'held'),
        (error: unknown) => (ended = (error as { sqlstate: string }).sqlstate),
      )
      const beside = othersCome === 'at once' ? passes(cluster, 'W beside') : undefined
      await cluster.clock.advance(waitsMs)
      t.equal(ended, '', `others come ${othersCome}`)
      const late = othersCome === 'late' ? passes(cluster, 'W beside') : undefined
      await cluster.clock.advance(othersCome === 'late' ? 1 : 20)
      await touched
      t.equal(ended, '40001')
      await transaction.rollback()
      await (beside ?? late)
      t.same(cluster.segment(1).committed, ['beside'])
      await comesBack(cluster)
      cluster.rest(t)
    }
  },
)

t.test('for whom nobody waits waits as long as it takes', async (t) => {
  const cluster = await opened()
  const transaction = await writing(cluster, [1])
  failOver(cluster)
  await settle()
  const touched = transaction.touch([0])
  await cluster.clock.advance(5_000)
  await comesBack(cluster)
  await touched
  await transaction.run(0, item('W x')).promise
  await transaction.commit()
  await cluster.clock.advance(100)
  t.same([0, 1].map((content) => cluster.segment(content).committed).flat(), ['x', 'x'])
  cluster.rest(t)
})

t.test('in a switchover nothing makes way: it ends soon', async (t) => {
  const cluster = await opened()
  const lane = cluster.dispatcher.lane(0)
  const administrator = { age: 0, requeueable: false, switchesOver: true, deadlockVictim() {} }
  const ticket = await enterLane(cluster.clock, lane, administrator, 1_000)
  const transaction = await writing(cluster, [1])
  failOver(cluster)
  await settle()
  const touched = transaction.touch([0])
  const beside = passes(cluster, 'W beside')
  await cluster.clock.advance(3_000)
  await comesBack(cluster)
  if (ticket !== undefined) lane.queue.leave(ticket)
  await touched
  await transaction.rollback()
  await beside
  cluster.rest(t)
})

t.test('two that hold what the other waits for are a deadlock, with the failover in between', async (t) => {
  const cluster = await opened()
  const [older, younger] = [cluster.dispatcher.begin(), cluster.dispatcher.begin()]
  await older.touch([1])
  await older.run(1, item('W x')).promise
  await younger.touch([0])
  failOver(cluster)
  await settle()
  const first = older.touch([0])
  await t.rejects(younger.touch([1]), failing('40P01'))
  await younger.rollback()
  await comesBack(cluster)
  await first
  await older.rollback()
  cluster.rest(t)
})

for (const [says, ms] of [
  ['it has run', 700],
  ['nothing', 200], // and what the link takes to find that nobody answers
] as const) {
  t.test(`a content stands still and says ${says}: who holds others for it makes way`, async (t) => {
    const cluster = await opened()
    const hangs = cluster.segment(0)
    const transaction = cluster.dispatcher.begin()
    await transaction.touch([0, 1])
    await transaction.run(1, item('W x')).promise
    hangs.holdAnswers(says)
    let ended = ''
    const run = transaction.run(0, item('W x')).promise.catch((error: { sqlstate: string }) => {
      ended = error.sqlstate
    })
    const beside = passes(cluster, 'W beside')
    await cluster.clock.advance(ms - 10)
    t.equal(ended, '', 'not yet')
    await cluster.clock.advance(20)
    await run
    t.equal(ended, '40001')
    const rolledBack = transaction.rollback()
    await beside

    const group = cluster.dispatcher.writeMany([0, 1], () => item('W both'))
    const other = cluster.dispatcher.begin()
    await other.touch([1])
    await other.run(1, item('W more')).promise
    const touched = t.rejects(other.touch([0]), failing('40001'), 'it holds a lane, and others wait')
    await cluster.clock.advance(300)
    const late = passes(cluster, 'W late')
    await cluster.clock.advance(300)
    await touched
    await other.rollback()
    await late
    t.same(cluster.segment(1).committed, ['beside', 'late'], 'a statement on both holds none')

    const read = cluster.dispatcher.readMany([0, 1], () => item('R'))
    await settle()
    await passes(cluster, 'W last')
    hangs.answersAgain()
    await cluster.clock.advance(100)
    t.equal((await read).length, 2)
    await rolledBack
    await group
    await cluster.clock.advance(100)
    t.same(hangs.committed, ['both'])
    cluster.rest(t)
  })
}

t.test('who comes to wait for it only then is found at the next look', async (t) => {
  const cluster = await opened()
  const transaction = await writing(cluster, [1])
  await transaction.touch([0])
  const beside = passes(cluster, 'W beside')
  await cluster.clock.advance(190)
  cluster.segment(0).holdAnswers('nothing')
  const run = t.rejects(transaction.run(0, item('W x')).promise, failing('40001'))
  await cluster.clock.advance(400 - 190)
  await run
  const rolledBack = transaction.rollback()
  await beside
  cluster.segment(0).answersAgain()
  await rolledBack
  await cluster.clock.advance(100)
  cluster.rest(t)
})

t.test('others that waited already, before it came to wait itself, count as well', async (t) => {
  const cluster = await opened()
  const transaction = await writing(cluster, [1])
  const beside = passes(cluster, 'W beside')
  await cluster.clock.advance(2_000)
  cluster.segment(0).holdAnswers('it has run')
  await transaction.touch([0])
  const run = t.rejects(transaction.run(0, item('W x')).promise, failing('40001'))
  await cluster.clock.advance(710)
  await run
  const rolledBack = transaction.rollback()
  await beside
  cluster.segment(0).answersAgain()
  await rolledBack
  await cluster.clock.advance(100)
  cluster.rest(t)
})

t.test('who waits in a lane that stands still gives back the others', async (t) => {
  for (const kind of ['readMany', 'writeMany'] as const) {
    const cluster = await opened()
    const transaction = await writing(cluster, [0, 1])
    cluster.segment(0).holdAnswers('it has run')
    // Its PREPARE is not answered, so that it keeps lane 0 when it has made way in lane 1.
    const refused = t.rejects(transaction.commit(), failing('40001'))
    const item2 = kind === 'readMany' ? 'R' : 'W both'
    const before = cluster.dispatcher[kind]([0, 1], () => item(item2))
    await cluster.clock.advance(710)
    const beside = passes(cluster, 'W beside')
    const after = cluster.dispatcher[kind]([0, 1], () => item(item2))
    await cluster.clock.advance(1)
    t.same(cluster.segment(1).committed, ['beside'], 'whether they came before or after it was found')
    cluster.segment(0).answersAgain()
    await Promise.all([refused, before, after, beside])
    await cluster.clock.advance(100)
    cluster.rest(t)
  }
})

t.test('a lane that was only foreseen is not entered beside one that stands still', async (t) => {
  const cluster = await opened()
  const foresight = new Foresight()
  foresight.learn(new Set([0, 1]))
  cluster.segment(0).holdAnswers('it has run')
  const stuck = cluster.dispatcher.runOne(0, item('W x')).promise
  await cluster.clock.advance(600)
  const found = cluster.dispatcher.lane(0).standsStill(500)
  await cluster.clock.advance(500)
  t.equal(await found, true)
  const transaction = cluster.dispatcher.begin('BEGIN', foresight)
  await transaction.touch([0])
  t.notOk(transaction.holds(1))
  const other = cluster.dispatcher.begin('BEGIN', foresight)
  await other.touch([1])
  t.ok(other.holds(1))
  cluster.segment(0).answersAgain()
  await stuck
  await transaction.rollback()
  await other.rollback()
  cluster.rest(t)
})

t.test('a two-phase commit that waits for a content which stands still is undone for others', async (t) => {
  const cluster = await opened()
  const transaction = await writing(cluster, [0, 1])
  cluster.segment(0).holdAnswers('it has run')
  const refused = t.rejects(transaction.commit(), failing('40001'))
  const beside = passes(cluster, 'W beside')
  await cluster.clock.advance(710)
  await beside
  t.equal(cluster.segment(0).prepared.size, 1, 'it was prepared where nobody could say so')
  cluster.segment(0).answersAgain()
  await refused
  await cluster.clock.advance(100)
  t.same(
    [0, 1].flatMap((content) => cluster.segment(content).committed),
    ['beside'],
  )
  cluster.rest(t)
})

t.test('a long statement is no standstill', async (t) => {
  const cluster = await opened()
  const transaction = cluster.dispatcher.begin()
  await transaction.touch([0, 1])
  await transaction.run(1, item('W x')).promise
  cluster.segment(0).holdAnswers('it runs')
  const run = transaction.run(0, item('W x')).promise
  const beside = passes(cluster, 'W beside')
  await cluster.clock.advance(30_000)
  // Done in the very moment in which somebody looks: its answer is on its way.
  cluster.segment(0).says = 'it has run'
  await cluster.clock.advance(510)
  cluster.segment(0).answersAgain()
  await run
  await cluster.clock.advance(400)
  await transaction.commit()
  await beside
  await cluster.clock.advance(100)
  t.same(cluster.segment(1).committed, ['x', 'beside'])
  cluster.rest(t)
})

t.test('a content that stood still and was lost has its waiters enter the next backend', async (t) => {
  const cluster = await opened()
  const transaction = cluster.dispatcher.begin()
  await transaction.touch([0, 1])
  cluster.segment(0).holdAnswers('nothing')
  const run = t.rejects(transaction.run(0, item('W x')).promise, failing('40001'))
  const beside = passes(cluster, 'W beside')
  await cluster.clock.advance(710)
  await run
  const rolledBack = transaction.rollback()
  await beside
  const group = cluster.dispatcher.writeMany([0, 1], () => item('W both'))
  await settle()
  failOver(cluster)
  await cluster.clock.advance(100)
  cluster.segment(0).answersAgain()
  await comesBack(cluster)
  await rolledBack
  await group
  await cluster.clock.advance(100)
  t.same(cluster.segment(0).committed, ['both'])
  cluster.rest(t)
})
