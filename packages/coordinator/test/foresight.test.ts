/** A session's transactions enter the lanes that they will need at one moment, and never wait for one that they may not need. */
import t from 'tap'
import { Foresight } from '../src/dtx/foresight.ts'
import { item, opened, type Cluster } from './support/dispatched-cluster.ts'
import { settle } from './support/manual-clock.ts'

t.test(
  'what the last transactions needed together is foreseen, until it is not needed for a while',
  async (t) => {
    const foresight = new Foresight()
    const seen = () => [...foresight.contents].toSorted()
    foresight.learn(new Set([0]))
    t.same(seen(), [])
    foresight.learn(new Set([2, 0, -1]))
    t.same(seen(), [0, 2], 'never the lane of the coordinator')
    for (let i = 0; i < 15; i++) foresight.learn(new Set([1]))
    t.same(seen(), [0, 2])
    foresight.learn(new Set([1]))
    t.same(seen(), [])
    for (const content of [1, 2, 3, 4]) foresight.learn(new Set([0, content]))
    t.same(seen(), [], 'one that needs all and sundry would hold everybody up')
  },
)

/** A session that writes on two contents, one after the other. */
async function crossing(
  cluster: Cluster,
  foresight: Foresight,
  first: number,
  second: number,
): Promise<void> {
  const transaction = cluster.dispatcher.begin('BEGIN', foresight)
  try {
    await transaction.touch([first])
    await transaction.run(first, item('W x')).promise
    await settle()
    await transaction.touch([second])
    await transaction.run(second, item('W x')).promise
    await transaction.commit()
  } catch (error) {
    await transaction.rollback()
    throw error
  }
}

t.test('two sessions that cross deadlock once, and then no more', async (t) => {
  const cluster = await opened()
  const [a, b] = [new Foresight(), new Foresight()]
  const both = () => Promise.allSettled([crossing(cluster, a, 0, 1), crossing(cluster, b, 1, 0)])
  const first = await both()
  t.equal(first.filter(({ status }) => status === 'rejected').length, 1)
  for (let i = 0; i < 5; i++) for (const { status } of await both()) t.equal(status, 'fulfilled')
  await cluster.clock.advance(100)
  cluster.rest(t)
})

t.test('a foreseen lane that is closed, or closes, is not waited for', async (t) => {
  const cluster = await opened()
  const foresight = new Foresight()
  await crossing(cluster, foresight, 0, 1)
  await cluster.clock.advance(100)
  cluster.segment(1).reachable = false
  cluster.segment(1).lose()
  const closed = cluster.dispatcher.begin('BEGIN', foresight)
  await closed.touch([0])
  t.notOk(closed.holds(1))
  await closed.rollback()
  cluster.segment(1).reachable = true
  await cluster.clock.advance(1_000)
  await crossing(cluster, foresight, 0, 1)
  await cluster.clock.advance(100)

  const holder = cluster.dispatcher.begin()
  await holder.touch([1])
  const waits = cluster.dispatcher.begin('BEGIN', foresight)
  let granted = false
  const touched = waits.touch([0]).then(() => (granted = true))
  await settle()
  t.notOk(granted, 'it waits for both')
  cluster.segment(1).lose()
  await touched
  t.ok(waits.holds(0), 'and goes on without the one that has gone')
  await waits.run(0, item('W y')).promise
  await waits.commit()
  await holder.rollback()
  await cluster.clock.advance(1_000)
  cluster.rest(t)
})

t.test('a foreseen lane that cannot be had is no failure', async (t) => {
  const cluster = await opened()
  const foresight = new Foresight()
  await crossing(cluster, foresight, 0, 1)
  await cluster.clock.advance(100)
  const holder = cluster.dispatcher.begin()
  await holder.touch([1])
  const waits = cluster.dispatcher.begin('BEGIN', foresight)
  const touched = waits.touch([0])
  await settle()
  cluster.dispatcher.lane(1).queue.failWaiting(new Error('nobody serves it'))
  await touched
  t.ok(waits.holds(0) && !waits.holds(1))
  await waits.rollback()
  await holder.rollback()
  cluster.rest(t)
})
