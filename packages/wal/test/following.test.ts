import t from 'tap'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeWalRecords, parseHistory } from '../src/index.ts'
import type { WalPosition } from '../src/format/wal-encoder.ts'
import { FakePrimary, payload, SEGMENT, startMirror, until, walIn, writeSegments } from './support/fixture.ts'
import { isData, pair, same } from './support/pair.ts'

t.test(
  'an ex-primary whose WAL ends before the fork follows the new timeline, with its history file',
  async (t) => {
    const { network, primary, root } = await pair(t, { records: 3000 })
    const dir = join(root, 'old')
    const end = primary.position.lsn
    primary.write(
      Array.from({ length: 9000 }, (_, i) => payload(200 + (i % 50))),
      { publish: false },
    )
    primary.newTimeline()
    primary.hub.restarted(2, primary.position.lsn)
    primary.write(Array.from({ length: 9000 }, () => payload(200)))
    const timelines: number[] = []
    const m = startMirror(t, network, primary, {
      dir,
      start: { timeline: 1, receivedEnd: end },
      onTimeline: (timeline) => timelines.push(timeline),
    })
    await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
    t.same(timelines, [2])
    const fork = primary.history[0]!.end
    const forkSegment = fork - (fork % SEGMENT)
    t.ok(
      walIn(primary.dir, 2, forkSegment, primary.position.lsn).equals(
        walIn(dir, 2, forkSegment, primary.position.lsn),
      ),
    )
    const from = end - (end % SEGMENT)
    t.ok(forkSegment > from, 'the fork lies in a later segment')
    t.ok(
      walIn(primary.dir, 1, from, forkSegment).equals(walIn(dir, 1, from, forkSegment)),
      'before the fork segment: files of the old timeline',
    )
    t.same(parseHistory(readFileSync(join(dir, '00000002.history'), 'utf8'), 2), primary.history)
    const stopped = await m.receiver.stop()
    t.match(stopped, { timeline: 2, receivedEnd: primary.position.lsn, history: primary.history })
  },
)

t.test(
  'a follower that is cut in the first segment of the new timeline receives it again and is not confused',
  async (t) => {
    const { network, primary, root } = await pair(t, { records: 3000 })
    const end = primary.position.lsn
    primary.newTimeline()
    primary.hub.restarted(2, end)
    primary.write([payload(100)])
    let cuts = 0
    network.alter = (message) => {
      if (!isData(message) || message.timeline !== 2 || cuts >= 3) return message
      cuts++
      setTimeout(() => network.cut(), 20)
      return { ...message, bytes: message.bytes.subarray(0, 10_000 * cuts + 17) }
    }
    const m = startMirror(t, network, primary, {
      dir: join(root, 'old'),
      start: { timeline: 1, receivedEnd: end },
    })
    await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
    t.equal(cuts, 3)
    t.ok(same(primary, m, end - (end % SEGMENT)))
  },
)

t.test(
  'a receiver with WAL beyond the fork, or more than the sender, stops as diverged and touches nothing',
  async (t) => {
    const { network, primary, root } = await pair(t)
    const fork = primary.position.lsn
    primary.newTimeline()
    primary.hub.restarted(2, fork)
    primary.write([payload(100)])
    const beyond = startMirror(t, network, primary, {
      dir: join(root, 'a'),
      start: { timeline: 1, receivedEnd: fork + 64 },
    })
    await until('diverged', () => beyond.receiver.state === 'diverged')
    t.match(beyond.receiver.reason, { code: 'wal.diverged', detail: { fork, end: fork + 64 } })
    t.same(readdirSync(beyond.dir), [])
    const ahead = startMirror(t, network, primary, {
      dir: join(root, 'b'),
      start: { timeline: 2, receivedEnd: primary.position.lsn + 8 },
    })
    await until('ahead', () => ahead.receiver.state === 'diverged')
    t.equal(ahead.receiver.reason?.code, 'wal.ahead')
  },
)

t.test('WAL that the sender has removed is refused for good, by name', async (t) => {
  const { network, primary, root } = await pair(t, { start: 5 * SEGMENT })
  const m = startMirror(t, network, primary, {
    dir: join(root, 'm'),
    start: { timeline: 1, receivedEnd: 3 * SEGMENT },
  })
  await until('removed', () => m.receiver.state === 'removed')
  t.match(m.receiver.reason, { code: 'wal.removed', detail: { oldestLsn: 5 * SEGMENT } })
})

t.test(
  'a sender of another content, cluster or origin is refused for good; one that is no primary is asked again',
  async (t) => {
    const { network, primary, root } = await pair(t)
    const other = startMirror(t, network, primary, {
      dir: join(root, 'a'),
      identity: { clusterId: 'cluster-b', content: 0, dbid: 3 },
    })
    const content = startMirror(t, network, primary, {
      dir: join(root, 'b'),
      identity: { clusterId: 'cluster-a', content: 1, dbid: 3 },
    })
    const origin = startMirror(t, network, primary, {
      dir: join(root, 'c'),
      identity: { clusterId: 'cluster-a', content: 0, dbid: 3, systemIdentifier: '78' },
    })
    await until('all are foreign', () =>
      [other, content, origin].every((m) => m.receiver.state === 'foreign'),
    )
    t.same(
      [other, content, origin].map((m) => m.receiver.reason?.code),
      ['cluster.foreign', 'wrong.content', 'datadir.foreign'],
    )
    primary.isPrimary = false
    const early = startMirror(t, network, primary, { dir: join(root, 'd') })
    await until('it was refused', () => early.states.includes('waiting'))
    t.equal(early.receiver.reason?.code, 'not.primary')
    primary.isPrimary = true
    await until('it streams', () => primary.hub.mirrorStatus().caughtUp)
  },
)

t.test('a sender that does not know the epoch that the receiver promised gets no mirror', async (t) => {
  const { network, primary, root } = await pair(t)
  const m = startMirror(t, network, primary, { dir: join(root, 'm'), epoch: () => 2 })
  await until('refused', () => m.receiver.reason?.code === 'epoch.stale')
  t.equal(primary.hub.mirrorStatus().state === 'streaming', false)
  primary.epoch = 2
  await until('it streams', () => primary.hub.mirrorStatus().caughtUp)
})

t.test('a walreceiver follows its peer to another place', async (t) => {
  const { network, primary, root } = await pair(t)
  const m = startMirror(t, network, primary, {
    dir: join(root, 'm'),
    peer: { dbid: 2, endpoint: { addresses: ['memory'], port: 4711 } },
  })
  await until('refused', () => m.receiver.reason?.code === 'connection.refused')
  m.receiver.setPeer({ dbid: 2, endpoint: { addresses: ['memory'], port: primary.port } })
  await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
})

t.test(
  'a primary that was restarted without the end of its WAL, and has written as much else, is noticed by a mirror that goes on',
  async (t) => {
    const { network, primary, root } = await pair(t)
    const m = startMirror(t, network, primary, { dir: join(root, 'm') })
    await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
    const durable = primary.position
    primary.write([payload(200, 1)])
    const lost = primary.position.lsn
    await until('the mirror has the end', () => primary.flushed.at(-1) === lost)
    network.cut()
    primary.hub.stop()
    const next = new FakePrimary(primary.dir, network, durable.lsn)
    t.teardown(() => next.hub.stop())
    next.position = durable
    next.write([payload(200, 2)], { publish: false })
    next.write([payload(50)], { publish: false })
    await next.listen(network, primary.port)
    await until('it is given up', () => m.receiver.state === 'broken')
    t.equal(m.receiver.reason?.code, 'wal.rewrite', 'which a copy mends')
    t.equal(next.flushed.length, 0, 'nothing was claimed')
  },
)

for (const [what, more] of [
  ['to the same place', 0],
  ['and more', 1],
] as const) {
  t.test(
    `where a segment ends, too, a mirror notices a primary that was restarted without the end of its WAL and has written something else ${what}`,
    async (t) => {
      const { network, primary, root } = await pair(t)
      const m = startMirror(t, network, primary, { dir: join(root, 'm') })
      await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
      const durable = primary.position
      primary.write(restOfSegment(durable, 1))
      t.equal(primary.position.lsn, 2 * SEGMENT)
      await until('the mirror has the end', () => primary.flushed.at(-1) === 2 * SEGMENT)
      network.cut()
      primary.hub.stop()
      const next = new FakePrimary(primary.dir, network, durable.lsn)
      t.teardown(() => next.hub.stop())
      next.position = durable
      next.write([payload(60, 2)], { publish: false })
      next.write(restOfSegment(next.position, 2), { publish: false })
      t.equal(next.position.lsn, 2 * SEGMENT)
      if (more > 0) next.write([payload(50)], { publish: false })
      await next.listen(network, primary.port)
      await until('it is given up', () => m.receiver.state === 'broken')
      t.equal(m.receiver.reason?.code, 'wal.rewrite', 'which a copy mends')
      t.equal(next.flushed.length, 0, 'nothing was claimed')
    },
  )
}

t.test(
  'an ex-primary that was started once more without the end of its WAL does not go on behind what it wrote in its place, although that ends before the fork',
  async (t) => {
    const { network, primary, root } = await pair(t)
    const ownWal = join(root, 'own')
    const lost = primary.position
    mkdirSync(ownWal)
    writeSegments(ownWal, 1, SEGMENT, walIn(primary.dir, 1, SEGMENT, lost.lsn))
    const own = encodeWalRecords(lost, [{ payload: payload(100, 1) }])
    writeSegments(ownWal, 1, lost.lsn, own.bytes)
    primary.write([payload(150, 2)])
    primary.write([payload(150, 2)])
    primary.newTimeline()
    primary.hub.restarted(2, primary.position.lsn)
    primary.write([payload(100)])
    t.ok(own.next.lsn < primary.history[0]!.end)
    const start = { timeline: 1, receivedEnd: own.next.lsn }
    const m = startMirror(t, network, primary, { dir: join(root, 'm'), ownWal, start })
    await until('it is given up', () => m.receiver.state === 'broken')
    t.equal(m.receiver.reason?.code, 'wal.rewrite', 'which a copy mends')
    t.equal(primary.flushed.length, 0, 'nothing was claimed')

    // One that has only what the others have, too, goes on.
    writeSegments(ownWal, 1, lost.lsn, walIn(primary.dir, 1, lost.lsn, lost.lsn + own.bytes.length))
    const good = startMirror(t, network, primary, {
      dir: join(root, 'good'),
      ownWal,
      start: { timeline: 1, receivedEnd: lost.lsn },
    })
    await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
    t.ok(same(primary, good))
  },
)

/** A record that ends where the segment does. */
function restOfSegment(position: WalPosition, fill: number): Uint8Array[] {
  const end = position.lsn - (position.lsn % SEGMENT) + SEGMENT
  const endWith = (length: number): number =>
    encodeWalRecords(position, [{ payload: payload(length, fill) }]).next.lsn
  let [fits, tooLong] = [0, end - position.lsn]
  while (tooLong - fits > 1) {
    const middle = Math.floor((fits + tooLong) / 2)
    if (endWith(middle) <= end) fits = middle
    else tooLong = middle
  }
  return [payload(fits, fill)]
}

t.test('what one mirror has told says nothing of another one that streams after it (I2)', async (t) => {
  const { network, primary, root } = await pair(t)
  const first = startMirror(t, network, primary, { dir: join(root, 'a') })
  await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
  await first.receiver.stop()
  t.match(primary.hub.mirrorStatus(), { dbid: 3, flushLsn: primary.position.lsn })
  const held: unknown[] = []
  network.alter = (message) => {
    if (message.type !== 'wal.flushed') return message
    held.push(message)
    return { ...message, flushLsn: 0, writeLsn: 0 }
  }
  const identity = { clusterId: 'cluster-a', content: 0, dbid: 4, systemIdentifier: '77' }
  startMirror(t, network, primary, { dir: join(root, 'b'), identity })
  await until('it has told something', () => held.length > 0)
  t.match(primary.hub.mirrorStatus(), { dbid: 4, flushLsn: 0, caughtUp: false })
})
