/** Writes on several contents share a transaction when they wait together, and nobody is told anything that would not be true alone. */
import t from 'tap'
import { firstErrorCode } from '../src/lanes/backend-bytes.ts'
import { queryMessage } from '../src/lanes/frontend-bytes.ts'
import type { DistributedTransaction } from '../src/dtx/transaction.ts'
import { canceller, failing, item, opened, type Cluster } from './support/dispatched-cluster.ts'
import { settle } from './support/manual-clock.ts'

/** Holds a lane, so that what comes now waits; `letGo` lets it in. */
async function busy(cluster: Cluster): Promise<{ letGo(): Promise<void> }> {
  const holder: DistributedTransaction = cluster.dispatcher.begin()
  await holder.touch([0])
  return { letGo: () => holder.rollback() }
}

const both = (cluster: Cluster, sql: string) => cluster.dispatcher.writeMany([0, 1], () => item(sql))
const codes = (results: readonly { output: Uint8Array }[]) =>
  results.map((result) => firstErrorCode(result.output))
const prepares = (cluster: Cluster) =>
  cluster.segment(1).ran.filter((sql) => sql.startsWith('PREPARE TRANSACTION')).length

t.test('what waits together is prepared once, in its order, and each is answered', async (t) => {
  const cluster = await opened()
  const holder = await busy(cluster)
  const names = ['a', 'b', 'c', 'd']
  const done = Promise.all(names.map((name) => both(cluster, `W ${name}`)))
  await settle()
  await holder.letGo()
  for (const results of await done) t.same(codes(results), [undefined, undefined])
  await cluster.clock.advance(100)
  for (const content of [0, 1]) t.same(cluster.segment(content).committed, names)
  t.equal(prepares(cluster), 1)
  cluster.rest(t)
})

t.test('a lone write is sent as one: statement and PREPARE leave together', async (t) => {
  const cluster = await opened()
  cluster.segment(1).fault = (sql) => (sql === 'W x' ? 'hang' : undefined)
  const done = both(cluster, 'W x').catch(() => undefined)
  await settle()
  t.ok(cluster.segment(0).prepared.size === 1, 'content 0 has prepared before content 1 has answered')
  for (const content of [0, 1]) cluster.segment(content).lose()
  cluster.segment(1).fault = () => undefined
  await cluster.clock.advance(1_000)
  await done
  cluster.rest(t)
})

t.test('one that fails takes the others with it, and all run again, each alone', async (t) => {
  const cluster = await opened()
  const holder = await busy(cluster)
  const done = Promise.all(['W a', 'FAIL', 'W b'].map((sql) => both(cluster, sql)))
  await settle()
  await holder.letGo()
  const [first, failed, last] = await done
  t.same(
    [codes(first ?? []), codes(last ?? [])],
    [
      [undefined, undefined],
      [undefined, undefined],
    ],
  )
  t.same(codes(failed ?? []), ['23505', '23505'])
  await cluster.clock.advance(100)
  for (const content of [0, 1]) t.same(cluster.segment(content).committed.toSorted(), ['a', 'b'])
  cluster.rest(t)
})

t.test('a failure at the end of the transaction is told to whose it is only', async (t) => {
  const cluster = await opened()
  const holder = await busy(cluster)
  let refusals = 1
  cluster.segment(1).fault = (sql) => (sql.startsWith('PREPARE') && refusals-- > 0 ? 'refuse' : undefined)
  const done = Promise.all(['W a', 'W b'].map((sql) => both(cluster, sql)))
  await settle()
  await holder.letGo()
  for (const results of await done) t.same(codes(results), [undefined, undefined])
  await cluster.clock.advance(100)
  t.same(cluster.segment(1).committed.toSorted(), ['a', 'b'])
  cluster.rest(t)
})

t.test('statements under other settings, and large ones, keep to themselves', async (t) => {
  const cluster = await opened()
  const holder = await busy(cluster)
  const role = { key: 'role', sql: "SET ROLE 'somebody'" }
  const done = Promise.all([
    both(cluster, 'W a'),
    cluster.dispatcher.writeMany([0, 1], () => ({ ...item('W b'), settings: role })),
    both(cluster, `W ${'c'.repeat(20_000)}`),
    both(cluster, 'W d'),
  ])
  await settle()
  await holder.letGo()
  await done
  await cluster.clock.advance(100)
  t.equal(prepares(cluster), 3)
  t.same(
    cluster.segment(0).committed.map((value) => value[0]),
    ['a', 'd', 'b', 'c'],
  )
  cluster.rest(t)
})

t.test('one that is cancelled while it waits leaves, the others go on', async (t) => {
  const cluster = await opened()
  const holder = await busy(cluster)
  const slot = canceller()
  const gone = t.rejects(
    cluster.dispatcher.writeMany([0, 1], () => item('W gone'), slot),
    failing('57014'),
  )
  const stays = both(cluster, 'W stays')
  await settle()
  slot.now?.()
  await gone
  t.equal(slot.now, undefined)
  await holder.letGo()
  await stays
  await cluster.clock.advance(100)
  for (const content of [0, 1]) t.same(cluster.segment(content).committed, ['stays'])
  cluster.rest(t)
})

t.test('when all leave, who comes at that moment is not told that it was cancelled', async (t) => {
  const cluster = await opened()
  const holder = await busy(cluster)
  const slot = canceller()
  const gone = t.rejects(
    cluster.dispatcher.writeMany([0, 1], () => item('W gone'), slot),
    failing('57014'),
  )
  await settle()
  slot.now?.()
  const comes = both(cluster, 'W comes')
  await gone
  await holder.letGo()
  t.same(codes(await comes), [undefined, undefined])
  await cluster.clock.advance(100)
  cluster.rest(t)
})

t.test('one that is cancelled while it runs is undone everywhere, the others run again', async (t) => {
  const cluster = await opened()
  const holder = await busy(cluster)
  const slot = canceller()
  cluster.segment(1).fault = (sql) => (sql === 'W hangs' ? 'hang' : undefined)
  const hangs = t.rejects(
    cluster.dispatcher.writeMany([0, 1], () => item('W hangs'), slot),
    { code: 'cancelled' },
  )
  const other = both(cluster, 'W other')
  await settle()
  await holder.letGo()
  await settle()
  slot.now?.()
  await hangs
  t.same(codes(await other), [undefined, undefined])
  await cluster.clock.advance(100)
  for (const content of [0, 1]) t.same(cluster.segment(content).committed, ['other'])
  cluster.rest(t)
})

t.test('a group that has not begun where its settings are lacking runs again, and once', async (t) => {
  const cluster = await opened()
  const holder = await busy(cluster)
  let lacks = true
  cluster.segment(1).lacksSettings = (statements) => lacks && statements.includes('W a') && !(lacks = false)
  const done = Promise.all(['a', 'b'].map((name) => both(cluster, `W ${name}`)))
  await settle()
  await holder.letGo()
  for (const results of await done) t.same(codes(results), [undefined, undefined])
  t.equal(lacks, false)
  await cluster.clock.advance(100)
  for (const content of [0, 1]) t.same(cluster.segment(content).committed.toSorted(), ['a', 'b'])
  cluster.rest(t)
})

t.test('a transaction that has not begun where its settings are lacking begins with them', async (t) => {
  const cluster = await opened()
  const transaction = cluster.dispatcher.begin()
  await transaction.touch([0])
  let lacks = true
  cluster.segment(0).lacksSettings = () => lacks && !(lacks = false)
  t.same(codes([await transaction.run(0, item('W a')).promise]), [undefined])
  await transaction.commit()
  t.same(cluster.segment(0).committed, ['a'])
  cluster.rest(t)
})

t.test(
  'a lone statement that begins by itself and lacks its settings runs again, whoever is behind it',
  async (t) => {
    const cluster = await opened()
    const { dispatcher } = cluster
    let lacks = true
    cluster.segment(0).lacksSettings = () => lacks && !(lacks = false)
    const lone = dispatcher.runOne(0, {
      ...item('W a'),
      lead: ['BEGIN'],
      bytes: queryMessage('COMMIT'),
    }).promise
    const transaction = dispatcher.begin()
    await transaction.touch([0])
    const runs = ['W b', 'W c'].map((sql) => transaction.run(0, item(sql)).promise)
    const committed = transaction.commit()
    t.same(codes([await lone, ...(await Promise.all(runs))]), [undefined, undefined, undefined])
    await committed
    t.same(cluster.segment(0).committed, ['b', 'c'])
    cluster.rest(t)
  },
)

t.test('a failover in the middle makes all of a group run again', async (t) => {
  const cluster = await opened()
  const holder = await busy(cluster)
  let lose = true
  cluster.segment(1).fault = (sql) => (lose && sql === 'W b' ? ((lose = false), 'lose-before') : undefined)
  const done = Promise.all(['a', 'b', 'c'].map((name) => both(cluster, `W ${name}`)))
  await settle()
  await holder.letGo()
  await cluster.clock.advance(1_000)
  for (const results of await done) t.same(codes(results), [undefined, undefined])
  await cluster.clock.advance(100)
  for (const content of [0, 1]) t.same(cluster.segment(content).committed.toSorted(), ['a', 'b', 'c'])
  cluster.rest(t)
})

t.test(
  'a group that may be committed and is lost everywhere is unknown to all of it, and runs no second time',
  async (t) => {
    const cluster = await opened()
    const holder = await busy(cluster)
    for (const content of [0, 1])
      cluster.segment(content).fault = (sql) => (sql.startsWith('PREPARE') ? 'lose-after' : undefined)
    const done = Promise.all(
      ['a', 'b'].map((name) => t.rejects(both(cluster, `W ${name}`), failing('08007'))),
    )
    await settle()
    await holder.letGo()
    await settle()
    for (const content of [0, 1]) cluster.segment(content).fault = () => undefined
    await cluster.clock.advance(1_000)
    await done
    await cluster.clock.advance(100)
    const [zero, one] = [0, 1].map((content) => cluster.segment(content).committed)
    t.same(zero, one, 'everywhere or nowhere')
    cluster.rest(t)
  },
)

t.test('the lane is free as soon as COMMIT PREPARED is sent, and what follows runs behind it', async (t) => {
  const cluster = await opened()
  await Promise.all(['a', 'b', 'c'].map((name) => both(cluster, `W ${name}`)))
  await cluster.clock.advance(100)
  const { ran } = cluster.segment(1)
  const begins = ran.flatMap((sql, i) => (sql === 'BEGIN' && i > 0 ? [i] : []))
  for (const at of begins) {
    const before = ran.slice(0, at)
    const count = (start: string): number => before.filter((sql) => sql.startsWith(start)).length
    t.equal(count('COMMIT PREPARED'), count('PREPARE TRANSACTION'), 'nothing is prepared when another begins')
  }
  cluster.rest(t)
})

t.test(
  'a COMMIT PREPARED that fails ends the backend; the transaction is committed all the same',
  async (t) => {
    const cluster = await opened()
    let refusals = 1
    cluster.segment(1).fault = (sql) =>
      sql.startsWith('COMMIT PREPARED') && refusals-- > 0 ? 'refuse' : undefined
    t.same(codes(await both(cluster, 'W a')), [undefined, undefined])
    const next = both(cluster, 'W b')
    await cluster.clock.advance(2_000)
    t.same(codes(await next), [undefined, undefined])
    await cluster.clock.advance(100)
    for (const content of [0, 1]) t.same(cluster.segment(content).committed.toSorted(), ['a', 'b'])
    cluster.rest(t)
  },
)
