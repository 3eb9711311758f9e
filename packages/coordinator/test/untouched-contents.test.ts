/** A content that fails over does not take along those that statements need beside it: nobody holds a lane while waiting for one without a backend. */
import t from 'tap'
import { enterLane } from '../src/lanes/enter-lane.ts'
import { MirabelleError } from '@mirabelle/messages'
import { type Cluster, failing, item, opened } from './support/dispatched-cluster.ts'
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
  const transaction = cluster.dispatcher.begin()
  await transaction.touch([0, 1])
  await transaction.run(0, item('W x')).promise
  await transaction.run(1, item('W x')).promise
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
  const transaction = cluster.dispatcher.begin()
  await transaction.touch([0])
  await transaction.run(0, item('W x')).promise
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
      const transaction = cluster.dispatcher.begin()
      await transaction.touch([1])
      await transaction.run(1, item('W x')).promise
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
  const transaction = cluster.dispatcher.begin()
  await transaction.touch([1])
  await transaction.run(1, item('W x')).promise
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
  const transaction = cluster.dispatcher.begin()
  await transaction.touch([1])
  await transaction.run(1, item('W x')).promise
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
