import t from 'tap'
import fc from 'fast-check'
import { Dispatcher } from '../src/dispatcher.ts'
import { makeGid } from '../src/dtx/gid.ts'
import { firstColumn, firstErrorCode } from '../src/lanes/backend-bytes.ts'
import { fakePorts } from './support/fake-ports.ts'
import { canceller, Cluster, CONTENTS, failing, item, opened, writing } from './support/dispatched-cluster.ts'
import { FakeSegment, type Fault } from './support/fake-segment.ts'
import { ManualClock, settle } from './support/manual-clock.ts'

/** A transaction that writes `value` on two contents. */
async function writeBoth(cluster: Cluster, value: string): Promise<void> {
  const transaction = cluster.dispatcher.begin()
  await transaction.touch([0, 1])
  await transaction.run(0, item(`W ${value}`)).promise
  await transaction.run(1, item(`W ${value}`)).promise
  await transaction.commit()
}

t.test('whenOpen resolves with the last lane and names those that stay closed', async (t) => {
  const cluster = new Cluster()
  cluster.segment(2).reachable = false
  const refused = t.rejects(cluster.dispatcher.whenOpen(cluster.clock, 500), {
    code: 'content.unavailable',
    message: /content 2 could not/,
  })
  await cluster.clock.advance(600)
  await refused
  cluster.segment(2).reachable = true
  await cluster.open()
  await cluster.dispatcher.whenOpen(cluster.clock, 1)
})

t.test('a transaction on two contents is prepared and committed on both', async (t) => {
  const cluster = await opened()
  await writeBoth(cluster, 'x')
  await cluster.clock.advance(100)
  for (const content of [0, 1]) {
    t.same(cluster.segment(content).committed, ['x'])
    t.equal(cluster.segment(content).dtxRows.size, 1)
  }
  await writeBoth(cluster, 'y')
  await cluster.clock.advance(100)
  t.equal(cluster.segment(0).dtxRows.size, 1, 'the row of the finished one went with the next')
  cluster.rest(t)
})

t.test('a participant that refuses makes all roll back, and the client gets its error', async (t) => {
  const cluster = await opened()
  cluster.segment(1).fault = (sql) => (sql.startsWith('PREPARE') ? 'refuse' : undefined)
  await t.rejects(writeBoth(cluster, 'x'), { name: 'SqlError', wire: Buffer })
  await cluster.clock.advance(100)
  cluster.segment(1).fault = () => undefined
  for (const content of [0, 1]) t.same(cluster.segment(content).committed, [])
  cluster.rest(t)
  await writeBoth(cluster, 'y')
  await cluster.clock.advance(100)
  t.same(cluster.segment(1).committed, ['y'])
})

const faultsAt = ['PREPARE', 'INSERT', 'COMMIT PREPARED', 'ROLLBACK PREPARED'] as const
const matches = (at: string, sql: string) =>
  at === 'INSERT' ? sql.includes('INSERT INTO pg_catalog.dtx') : sql.startsWith(at)

for (const at of faultsAt) {
  for (const fault of ['lose-before', 'lose-after'] as const) {
    for (const crash of ['', ', and the coordinator dies at once', ', and the coordinator dies later']) {
      t.test(`${fault} at ${at}${crash}: all end the same way`, async (t) => {
        const cluster = await opened()
        if (at === 'ROLLBACK PREPARED')
          cluster.segment(1).fault = (sql) => (sql.startsWith('PREPARE') ? 'refuse' : undefined)
        let hit = false
        cluster.segment(0).fault = (sql) => {
          if (hit || !matches(at, sql)) return undefined
          hit = true
          return fault
        }
        const told = await writeBoth(cluster, 'x').then(
          () => 'committed',
          (error: unknown) => (error as { sqlstate: string }).sqlstate,
        )
        if (crash.endsWith('later')) await settle()
        if (crash !== '') cluster.restart()
        for (const segment of cluster.segments.values()) if (crash !== '') segment.fault = () => undefined
        cluster.segment(1).fault = () => undefined
        await cluster.clock.advance(1_000)
        // A coordinator that dies at once has not sent its COMMIT PREPARED.
        if (!(at === 'COMMIT PREPARED' && crash.endsWith('once'))) t.ok(hit, 'the fault was met')
        const ends = [0, 1].map((content) => cluster.segment(content).committed.join())
        t.equal(ends[0], ends[1], 'both participants agree')
        if (told === 'committed') t.equal(ends[0], 'x', 'what was told stays')
        if (at === 'COMMIT PREPARED') t.equal(told, 'committed')
        else t.not(told, 'committed')
        cluster.rest(t)
        if (crash !== '') {
          for (const content of [0, 1])
            t.equal(cluster.segment(content).dtxRows.size, 0, 'rows of the dead coordinator are gone')
        }
        await writeBoth(cluster, 'later')
        await cluster.clock.advance(100)
        await writeBoth(cluster, 'last')
        await cluster.clock.advance(100)
        t.ok(cluster.segment(0).dtxRows.size <= 1, 'no row stays for ever')
        t.ok(cluster.segment(1).dtxRows.size <= 1)
      })
    }
  }
}

t.test(
  'prepared and then lost on all contents: the end is unknown, for another coordinator may commit it',
  async (t) => {
    const cluster = await opened()
    for (const content of [0, 1])
      cluster.segment(content).fault = (sql) => (sql.startsWith('PREPARE') ? 'lose-after' : undefined)
    const told = writeBoth(cluster, 'x').then(
      () => 'committed',
      (error: unknown) => (error as { sqlstate: string }).sqlstate,
    )
    await settle()
    cluster.restart()
    for (const segment of cluster.segments.values()) segment.fault = () => undefined
    await cluster.clock.advance(1_000)
    t.equal(await told, '08007')
    for (const content of [0, 1])
      t.same(cluster.segment(content).committed, ['x'], 'the next coordinator committed it')
    cluster.rest(t)
  },
)

t.test('a transaction of a dead coordinator that all have prepared or committed is committed', async (t) => {
  const cluster = new Cluster()
  const gid = makeGid('dead', 1, [0, 1])
  cluster.segment(0).prepared.set(gid, { writes: ['x'], gids: [gid], dropped: [] })
  cluster.segment(1).dtxRows.add(gid)
  cluster.segment(1).committed.push('x')
  await cluster.open()
  await cluster.clock.advance(100)
  t.same(cluster.segment(0).committed, ['x'])
  for (const content of [0, 1]) t.equal(cluster.segment(content).dtxRows.size, 0, 'leftovers are deleted')
  cluster.rest(t)
})

t.test('one that a participant lacks is rolled back', async (t) => {
  const cluster = new Cluster()
  const gid = makeGid('dead', 1, [0, 1])
  cluster.segment(0).prepared.set(gid, { writes: ['x'], gids: [gid], dropped: [] })
  await cluster.open()
  t.same(cluster.segment(0).committed, [])
  cluster.rest(t)
})

t.test(
  'a participant that is down leaves it in doubt, keeps the lane closed, and settles it when it comes',
  async (t) => {
    const cluster = new Cluster()
    const gid = makeGid('dead', 1, [0, 1])
    for (const content of [0, 1])
      cluster.segment(content).prepared.set(gid, { writes: ['x'], gids: [gid], dropped: [] })
    cluster.segment(1).reachable = false
    await cluster.clock.advance(2_000)
    t.same(cluster.dispatcher.registry.inDoubt(), [gid])
    t.notOk(cluster.dispatcher.lane(0).isOpen)
    t.ok(cluster.dispatcher.lane(2).isOpen)
    cluster.segment(1).reachable = true
    await cluster.open()
    await cluster.clock.advance(10)
    t.same(cluster.segment(0).committed, ['x'])
    t.same(cluster.segment(1).committed, ['x'])
    cluster.rest(t)
  },
)

t.test('rows of earlier coordinators stay until all contents are attached', async (t) => {
  const cluster = new Cluster()
  const gid = makeGid('dead', 1, [0, 1])
  cluster.segment(0).dtxRows.add(gid)
  cluster.segment(1).reachable = false
  await cluster.clock.advance(2_000)
  t.ok(cluster.segment(0).dtxRows.has(gid), 'content 1 may still need it')
  cluster.segment(1).reachable = true
  await cluster.open()
  await cluster.clock.advance(10)
  t.notOk(cluster.segment(0).dtxRows.has(gid))
})

t.test('a COMMIT of one content whose answer was lost is known to have taken effect', async (t) => {
  for (const keep of [true, false]) {
    const cluster = await opened()
    cluster.segment(0).keepAnswers = keep
    const transaction = await writing(cluster, [0])
    cluster.segment(0).fault = (sql) => (sql === 'COMMIT' ? 'lose-after' : undefined)
    const done = transaction.commit()
    await cluster.clock.advance(1_000)
    await done
    t.same(cluster.segment(0).committed, ['x'])
    cluster.rest(t)
  }
})

t.test('a COMMIT of one content that was lost before it ran is 40001', async (t) => {
  const cluster = await opened()
  const transaction = await writing(cluster, [0])
  let once = true
  cluster.segment(0).fault = (sql) => (sql === 'COMMIT' && once ? ((once = false), 'lose-before') : undefined)
  const refused = t.rejects(transaction.commit(), failing('40001'))
  await cluster.clock.advance(1_000)
  await refused
  t.same(cluster.segment(0).committed, [])
  cluster.rest(t)
})

t.test('an idle transaction whose segment failed over lets others in at once', async (t) => {
  const cluster = await opened()
  const transaction = cluster.dispatcher.begin()
  await transaction.touch([0, 1])
  await transaction.run(0, item('W x')).promise
  cluster.segment(0).lose()
  await cluster.clock.advance(1_000)
  await cluster.dispatcher.runOne(0, item('W y')).promise
  t.same(cluster.segment(0).committed, ['y'])
  t.match(transaction.lost, { content: 0 })
  await t.rejects(transaction.run(1, item('W x')).promise, { name: 'LaneLost' })
  await t.rejects(transaction.commit(), failing('40001'))
  t.same(cluster.segment(1).committed, [])
  cluster.rest(t)
})

t.test('a lane that something else relies on is not taken away to break a deadlock', async (t) => {
  const cluster = await opened()
  const older = cluster.dispatcher.begin()
  const younger = cluster.dispatcher.begin()
  await older.touch([0])
  await younger.touch([1])
  const first = older.touch([1])
  await t.rejects(younger.touch([0]), failing('40P01'))
  await younger.rollback()
  await first
  t.ok(older.holds(0))
  await older.rollback()
  cluster.rest(t)
})

t.test('who runs something beside a transaction waits as that transaction: a deadlock shows', async (t) => {
  for (const passer of ['older', 'younger']) {
    const cluster = await opened()
    const [first, second] = [cluster.dispatcher.begin(), cluster.dispatcher.begin()]
    const [passing, waiting] = passer === 'older' ? [first, second] : [second, first]
    await passing.touch([0])
    await waiting.touch([1])
    const beside = passing.beside(1, item('R')).promise
    const touched = waiting.touch([0])
    if (passer === 'older') await t.rejects(touched, failing('40P01'))
    else await t.rejects(beside, failing('40P01'))
    await second.rollback()
    const goesOn: Promise<unknown> = passer === 'older' ? beside : touched
    await t.resolves(goesOn, `the ${passer} one passes: the other one goes on`)
    await first.rollback()
    cluster.rest(t)
  }
})

t.test('a user that has run nothing goes to the end of the queues for one that passes', async (t) => {
  const cluster = await opened()
  const passing = cluster.dispatcher.begin()
  await passing.touch([0])
  const patient = cluster.dispatcher.begin()
  const both = patient.touch([0, 1])
  await passing.beside(1, item('R')).promise
  await passing.rollback()
  await both
  t.ok(patient.holds(0) && patient.holds(1))
  await patient.rollback()
  cluster.rest(t)
})

t.test('savepoints reach the contents that are touched later', async (t) => {
  const cluster = await opened()
  const transaction = await writing(cluster, [0])
  await transaction.savepoint('savepoint', 's')
  await transaction.touch([1])
  await transaction.run(1, item('W x')).promise
  t.same(cluster.segment(1).ran.slice(-3), ['BEGIN', 'SAVEPOINT s', 'W x'])
  await t.rejects(transaction.savepoint('release', 'unknown'), failing('3B001'))
  await transaction.rollback()
  cluster.rest(t)
})

t.test('going back to a savepoint after a content was lost is 40001, as any statement is', async (t) => {
  const cluster = await opened()
  const transaction = await writing(cluster, [0])
  await transaction.savepoint('savepoint', 's')
  cluster.segment(0).fault = () => 'lose-before'
  await t.rejects(transaction.savepoint('rollback', 's'), failing('40001'))
  cluster.segment(0).fault = () => undefined
  await transaction.rollback()
  await cluster.clock.advance(100)
  cluster.rest(t)
})

t.test('readMany and writeMany answer in the order of the contents', async (t) => {
  const cluster = await opened()
  await cluster.dispatcher.writeMany([1, 0], (content) => item(`W ${content}`))
  const results = await cluster.dispatcher.readMany([1, 0], () => item('R'))
  t.same(
    results.map((result) => firstColumn(result.output)),
    [['1'], ['0']],
  )
  await cluster.clock.advance(100)
  cluster.rest(t)
})

t.test(
  'a read on several contents runs again after a failover, and what is left of the first go says nothing',
  async (t) => {
    const cluster = await opened()
    await cluster.dispatcher.writeMany([0, 1], (content) => item(`W ${content}`))
    await cluster.clock.advance(10)
    cluster.segment(0).fault = () => 'hang'
    let lose = true
    cluster.segment(1).fault = () => (lose ? ((lose = false), 'lose-before') : undefined)
    const chunks: Uint8Array[] = []
    const done = cluster.dispatcher.readMany([0, 1], () => ({
      ...item('R'),
      onOutput: (chunk) => {
        chunks.push(chunk)
      },
    }))
    await settle()
    cluster.segment(0).fault = () => undefined
    await cluster.clock.advance(1_000)
    t.same(
      (await done).map((result) => firstColumn(result.output)),
      [['0'], ['1']],
    )
    t.same(chunks, [])
    cluster.rest(t)
  },
)

t.test(
  'a write whose settings were lacking does not run inside the transaction that came behind it',
  async (t) => {
    for (const fits of [true, false]) {
      const cluster = await opened()
      const { dispatcher } = cluster
      await dispatcher.runOne(0, item('R')).promise
      let lacks = true
      cluster.segment(0).lacksSettings = (statements) =>
        lacks && statements.includes('W x') && !(lacks = false)
      const outdated = new Error('another schema')
      const isOutdated = () => {
        if (!fits) throw outdated
      }
      const write = dispatcher.runOne(0, { ...item('W x'), fits: isOutdated }).promise
      const written = fits ? write : t.rejects(write, outdated)
      const transaction = dispatcher.begin()
      await transaction.touch([0])
      await transaction.run(0, item('W y')).promise
      const behind = dispatcher.runOne(0, item('W z')).promise
      t.equal(lacks, false)
      await transaction.rollback()
      await Promise.all([written, behind])
      t.same(cluster.segment(0).committed, fits ? ['x', 'z'] : ['z'])
      cluster.rest(t)
    }
  },
)

t.test('a read on several contents of which one lacked its settings runs again as a whole', async (t) => {
  const cluster = await opened()
  const { dispatcher } = cluster
  let lacks = true
  cluster.segment(0).lacksSettings = () => lacks && !(lacks = false)
  const read = dispatcher.readMany([0, 1], () => item('R'))
  const written = dispatcher.runOne(0, item('W x')).promise
  t.same(
    (await read).map((result) => firstColumn(result.output)),
    [['x'], []],
  )
  t.equal(cluster.segment(1).ran.filter((sql) => sql === 'R').length, 2, 'at another moment, but at one')
  await written
  await cluster.clock.advance(100)
  cluster.rest(t)
})

t.test('a write on several contents is repeated as a whole when a failover undid it', async (t) => {
  const cluster = await opened()
  let lose = true
  cluster.segment(1).fault = (sql) =>
    lose && sql.startsWith('PREPARE') ? ((lose = false), 'lose-before') : undefined
  const done = cluster.dispatcher.writeMany([0, 1], () => item('W x'))
  await cluster.clock.advance(1_000)
  await done
  await cluster.clock.advance(100)
  t.same(cluster.segment(0).committed, ['x'])
  t.same(cluster.segment(1).committed, ['x'])
  cluster.rest(t)
})

t.test('an SQL error on one content changes nothing anywhere and is handed back', async (t) => {
  const cluster = await opened()
  const results = await cluster.dispatcher.writeMany([0, 1], (content) =>
    item(content === 0 ? 'W x' : 'FAIL'),
  )
  t.same(
    results.map((result) => firstErrorCode(result.output)),
    [undefined, '23505'],
  )
  await cluster.clock.advance(100)
  t.same(cluster.segment(0).committed, [])
  cluster.rest(t)
})

t.test(
  'a statement that does not fit any more when it holds its lanes runs nowhere, and those beside it do',
  async (t) => {
    const cluster = await opened()
    const holder = cluster.dispatcher.begin()
    await holder.touch([0])
    const outdated = new Error('another schema')
    const isOutdated = () => {
      throw outdated
    }
    const refused = t.rejects(
      cluster.dispatcher.writeMany([0, 1], () => ({ ...item('W old'), fits: isOutdated })),
      outdated,
    )
    const beside = cluster.dispatcher.writeMany([0, 1], () => item('W new'))
    await holder.rollback()
    await Promise.all([refused, beside])
    await cluster.clock.advance(100)
    t.same(
      [0, 1].map((content) => cluster.segment(content).committed),
      [['new'], ['new']],
    )
    cluster.rest(t)
  },
)

for (const kind of ['readMany', 'writeMany'] as const) {
  t.test(`${kind} can be cancelled while it waits and while it runs`, async (t) => {
    const cluster = await opened()
    const holder = cluster.dispatcher.begin()
    await holder.touch([1])
    const slot = canceller()
    const waiting = cluster.dispatcher[kind]([0, 1], () => item('W x'), slot)
    await settle()
    t.type(slot.now, 'function')
    slot.now?.()
    await t.rejects(waiting, failing('57014'))
    t.equal(slot.now, undefined)
    await holder.rollback()
    cluster.segment(1).fault = (sql) => (sql === 'W x' ? 'hang' : undefined)
    const running = cluster.dispatcher[kind]([0, 1], () => item('W x'), slot)
    await settle()
    slot.now?.()
    await t.rejects(running, { code: 'cancelled' })
    cluster.segment(1).fault = () => undefined
    await cluster.clock.advance(100)
    cluster.rest(t)
  })
}

/** A dispatcher without primaries yet. */
function dispatcherOver(contents: readonly number[], clock: ManualClock): Dispatcher {
  return new Dispatcher({
    ports: fakePorts(clock),
    contents,
    incarnation: 'a',
    failoverTimeoutMs: () => 1_000,
    onLaneLost() {},
  })
}

t.test('what is urgent overtakes who waits, and is refused when the lane is closed for good', async (t) => {
  const clock = new ManualClock()
  const segment = new FakeSegment(-1)
  const dispatcher = dispatcherOver([-1], clock)
  dispatcher.setPrimary(-1, 'local', segment.opener('a'))
  await clock.advance(10)
  const holder = dispatcher.begin()
  await holder.touch([-1])
  await holder.run(-1, item('W held')).promise
  const waiting = dispatcher.runOne(-1, item('W waits')).promise
  const preempted: unknown[] = []
  const urgent = dispatcher.runUrgent('W urgent', (who) => {
    preempted.push(who)
    void holder.rollback()
  })
  await Promise.all([urgent, waiting])
  t.same(preempted, [holder])
  t.same(segment.committed, ['urgent', 'waits'])
  dispatcher.close(new Error('stopping') as never)
  await t.rejects(
    dispatcher.runUrgent('W late', () => {}),
    { message: 'stopping' },
  )
})

/** The coordinator's own lane and one content, both open. */
async function coordinatorAndContent() {
  const clock = new ManualClock()
  const segments = new Map([-1, 0].map((content) => [content, new FakeSegment(content)]))
  const dispatcher = dispatcherOver([-1, 0], clock)
  for (const [content, segment] of segments) dispatcher.setPrimary(content, 'first', segment.opener('a'))
  await clock.advance(10)
  const [own, data] = [segments.get(-1) as FakeSegment, segments.get(0) as FakeSegment]
  return { clock, own, data, dispatcher }
}

t.test(
  'the catalog can be changed while the end of what is prepared there waits for a content that needs that change',
  async (t) => {
    const clock = new ManualClock()
    const [own, data] = [new FakeSegment(-1), new FakeSegment(0)]
    const gid = makeGid('dead', 1, [-1, 0])
    for (const segment of [own, data]) segment.prepared.set(gid, { writes: ['x'], gids: [gid], dropped: [] })
    data.reachable = false
    const dispatcher = dispatcherOver([-1, 0], clock)
    const before = dispatcher.runUrgent('W first', () => {})
    for (const segment of [own, data]) dispatcher.setPrimary(segment.content, 'first', segment.opener('a'))
    await clock.advance(5_000)
    t.notOk(dispatcher.lane(-1).isOpen)
    t.ok(dispatcher.lane(-1).unavailable, 'clients are told')
    await before
    await dispatcher.runUrgent('W failover', () => {})
    t.same(own.committed, ['first', 'failover'])
    data.reachable = true
    await clock.advance(1_000)
    t.ok(dispatcher.lane(-1).isOpen)
    t.same(own.committed, ['first', 'failover', 'x'])
    t.same(data.committed, ['x'])
    dispatcher.close(new Error('stopping') as never)
  },
)

t.test('a two-phase commit that waits for a segment makes way for the catalog, and is undone', async (t) => {
  const { clock, own, data, dispatcher } = await coordinatorAndContent()
  // Its mirror has gone: PREPARE waits until that is in the catalog, and the catalog is behind the lane that this transaction holds.
  data.fault = (sql) => (sql.startsWith('PREPARE') ? 'hang' : undefined)
  const transaction = dispatcher.begin()
  await transaction.touch([-1, 0])
  await Promise.all([-1, 0].map((content) => transaction.run(content, item('W both')).promise))
  const committed = transaction.commit().then(
    () => 'committed',
    (error: { sqlstate: string }) => error.sqlstate,
  )
  await settle()
  t.equal(own.prepared.size, 1)
  await dispatcher.runUrgent('W role change', () => {})
  t.same(own.committed, ['role change'])
  data.fault = () => undefined
  data.lose()
  await clock.advance(100)
  t.equal(await committed, '40001')
  t.same([...own.prepared, ...data.prepared, ...data.committed], [])
  dispatcher.close(new Error('stopping') as never)
})

t.test('a statement whose answer a segment holds back makes way for the catalog', async (t) => {
  const { own, data, dispatcher } = await coordinatorAndContent()
  data.fault = (sql) => (sql.startsWith('W') ? 'hang' : undefined)
  const transaction = dispatcher.begin()
  await transaction.touch([-1, 0])
  await transaction.run(-1, item('W schema')).promise
  const held = t.rejects(transaction.run(0, item('W schema')).promise, failing('40001'))
  await settle()
  const urgent = dispatcher.runUrgent('W role change', () => {})
  await held
  // What its owner does with such an error.
  const undone = transaction.rollback()
  await urgent
  t.same(own.committed, ['role change'])
  data.fault = () => undefined
  data.lose()
  await undone
  t.same(data.committed, [])
  dispatcher.close(new Error('stopping') as never)
})

/** Draws from a seed. */
function draws(seed: number) {
  let state = seed | 1
  return (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

interface Story {
  readonly told: Set<string>
  readonly wrote: Map<string, readonly number[]>
}

/** One client: transactions on one to three contents, touched at once or one after the other; some are given up, some cancelled. */
async function client(cluster: Cluster, id: number, draw: (below: number) => number, story: Story) {
  for (let n = 0; n < 4; n++) {
    const name = `c${id}t${n}`
    const contents = CONTENTS.map((content) => [draw(100), content] as const)
      .sort((a, b) => a[0] - b[0])
      .slice(0, 1 + draw(3))
      .map(([, content]) => content)
    if (draw(4) === 0) {
      await cluster.dispatcher.runOne(contents[0] as number, item(`W auto-${name}`)).promise.catch(() => 0)
      continue
    }
    if (draw(4) === 0) {
      story.wrote.set(name, contents)
      const slot = canceller()
      const done = cluster.dispatcher.writeMany(contents, () => item(`W ${name}`), slot)
      if (draw(3) === 0) void settle(draw(6)).then(() => slot.now?.())
      await done.then(
        () => story.told.add(name),
        () => 0,
      )
      continue
    }
    const transaction = cluster.dispatcher.begin()
    try {
      for (const wanted of draw(2) === 0 ? [contents] : contents.map((content) => [content])) {
        await transaction.touch(wanted, {
          onWait: (fail) => {
            if (draw(4) === 0) void settle(draw(8)).then(() => fail(new Error('cancelled')))
          },
        })
        await settle(draw(3))
        await Promise.all(wanted.map((content) => transaction.run(content, item(`W ${name}`)).promise))
        await settle(draw(3))
      }
      if (draw(5) === 0) await transaction.rollback()
      else {
        story.wrote.set(name, contents)
        await transaction.commit()
        story.told.add(name)
      }
    } catch {
      if (!transaction.ended) await transaction.rollback() // what a session does with one that failed
    }
  }
}

/** All that went wrong in the end, in words. */
function faultsOf(cluster: Cluster, { told, wrote }: Story): string[] {
  const faults: string[] = []
  for (const [content, lane] of cluster.dispatcher.lanes) {
    if (!lane.queue.free) faults.push(`content ${content} is not free`)
    if (lane.inFlight > 0) faults.push(`content ${content} has something under way`)
    const segment = cluster.segment(content)
    if (segment.prepared.size > 0) faults.push(`content ${content} has something prepared`)
    if (new Set(segment.committed).size !== segment.committed.length)
      faults.push(`something took effect twice on content ${content}: ${segment.committed.join()}`)
  }
  for (const [name, contents] of wrote) {
    const there = contents.filter((content) => cluster.segment(content).committed.includes(name))
    if (there.length !== 0 && there.length !== contents.length)
      faults.push(`${name} is on ${there.join()} of ${contents.join()}`)
    if (told.has(name) && there.length === 0) faults.push(`${name} was told committed and is nowhere`)
  }
  return faults
}

t.test(
  'whatever clients, cancels and failovers do, lanes are free again and two-phase writes agree',
  async (t) => {
    const seen = { told: 0, several: 0, lost: 0, prepared: 0 }
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 2 ** 31 - 1 }), async (seed) => {
        const cluster = await opened()
        const draw = draws(seed)
        const story: Story = { told: new Set(), wrote: new Map() }
        const rate = 30 + draw(300)
        for (const segment of cluster.segments.values()) {
          segment.fault = (): Fault | undefined => {
            const drawn = draw(rate)
            return drawn === 1 ? 'lose-before' : drawn === 2 ? 'lose-after' : undefined
          }
        }
        let left = 4
        for (let id = 0; id < 4; id++)
          void client(cluster, id, draws(seed + id * 7919), story).finally(() => left--)
        for (let round = 0; left > 0; round++) {
          if (round > 400) throw new Error(`${left} clients wait for ever`)
          const content = draw(3)
          const what = draw(12)
          if (what === 0) cluster.segment(content).lose()
          if (what === 1) {
            const opener = cluster.segment(content).opener(cluster.incarnation)
            cluster.dispatcher.setPrimary(content, `swap ${round}`, opener)
          }
          if (round > 200) for (const segment of cluster.segments.values()) segment.fault = () => undefined
          await cluster.clock.advance(draw(4) * 5)
        }
        for (const segment of cluster.segments.values()) segment.fault = () => undefined
        await cluster.clock.advance(2_000)
        const faults = faultsOf(cluster, story)
        if (faults.length > 0) throw new Error(faults.join('; '))
        seen.told += story.told.size
        seen.several += [...story.wrote.values()].filter((contents) => contents.length > 1).length
        for (const segment of cluster.segments.values()) {
          seen.lost += segment.opened - 1
          seen.prepared += segment.ran.filter((sql) => sql.startsWith('PREPARE')).length
        }
      }),
      { numRuns: 150 },
    )
    t.ok(
      seen.told > 300 && seen.several > 300 && seen.lost > 150 && seen.prepared > 500,
      JSON.stringify(seen),
    )
  },
)
