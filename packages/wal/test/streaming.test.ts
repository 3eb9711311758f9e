import t from 'tap'
import { copyFileSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Message, MessageOf } from '@mirabelle/messages'
import { realDisk } from '@mirabelle/runtime'
import type { Disk } from '@mirabelle/runtime'
import { encodeWalRecords, parseHistory } from '../src/index.ts'
import {
  FakePrimary,
  payload,
  SEGMENT,
  startMirror,
  tempDir,
  testPorts,
  until,
  walIn,
  writeSegments,
} from './support/fixture.ts'
import type { Mirror } from './support/fixture.ts'
import { memoryNetwork } from './support/memory-network.ts'

type Data = MessageOf<'wal.data'>
const isData = (message: Message): message is Data => message.type === 'wal.data'

async function pair(
  test: Tap,
  options: { start?: number; records?: number; settledLimit?: { entries: number; bytes: number } } = {},
): Promise<{
  network: ReturnType<typeof memoryNetwork>
  primary: FakePrimary
  mirror: () => Mirror
  root: string
}> {
  const root = tempDir(test)
  const network = memoryNetwork()
  const { start, settledLimit } = options
  const primary = new FakePrimary(
    join(root, 'p'),
    network,
    start,
    settledLimit === undefined ? {} : { settledLimit },
  )
  primary.hub.settledReset('run-1', 0)
  test.teardown(() => primary.hub.stop())
  await primary.listen(network)
  primary.write(Array.from({ length: options.records ?? 10 }, (_, i) => payload(100 + i)))
  return {
    network,
    primary,
    root,
    mirror: () => startMirror(test, network, primary, { dir: join(root, 'm') }),
  }
}

type Tap = Pick<typeof t, 'teardown'>

const same = (primary: FakePrimary, mirror: Mirror, from = SEGMENT): boolean =>
  walIn(primary.dir, primary.position.timeline, from, primary.position.lsn).equals(
    walIn(mirror.dir, primary.position.timeline, from, primary.position.lsn),
  )

t.test(
  'a mirror catches up from files, then streams, and acknowledges exactly what is published',
  async (t) => {
    const { primary, mirror } = await pair(t)
    primary.write([payload(3_000_000, 1)])
    const m = mirror()
    await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
    t.equal(primary.hub.mirrorStatus().state, 'streaming')
    for (let i = 0; i < 50; i++) primary.write([payload(200, i), payload(9000, i)])
    await until('flushed', () => primary.flushed.at(-1) === primary.position.lsn)
    t.ok(same(primary, m), 'the files have the same bytes')
    t.equal(m.flushed.at(-1), primary.position.lsn)
    t.same(
      primary.states.map(({ state }) => state),
      ['catchup', 'streaming'],
    )
    const [row] = primary.hub.replicationRows()
    t.match(row, {
      dbid: 3,
      state: 'streaming',
      flushLsn: primary.position.lsn,
      sentLsn: primary.position.lsn,
      syncState: 'async',
    })
    const stopped = await m.receiver.stop()
    t.equal(stopped.receivedEnd, primary.position.lsn)
    await until('it is gone', () => primary.hub.mirrorStatus().state === 'none')
    t.equal(primary.hub.mirrorStatus().flushLsn, primary.position.lsn, 'what it had flushed is remembered')
  },
)

t.test(
  'what is written in one turn goes out in one frame, and no settled statement after its WAL',
  async (t) => {
    const { network, primary, mirror } = await pair(t)
    const m = mirror()
    await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
    const frames: Data[] = []
    network.alter = (message) => {
      if (isData(message)) frames.push(message)
      return message
    }
    const first = primary.seq
    for (let i = 0; i < 20; i++) primary.write([payload(50)])
    const big = primary.seq
    primary.write([payload(2_500_000)], { withBytes: false })
    await until('flushed', () => primary.flushed.at(-1) === primary.position.lsn)
    t.ok(frames.length < 20, `${frames.length} frames for 21 writes`)
    t.ok(frames.every((frame) => frame.bytes.length <= 1024 * 1024))
    const told = new Map<number, Data>()
    for (const frame of frames) for (const [seq] of frame.settled) if (!told.has(seq)) told.set(seq, frame)
    for (let seq = first; seq <= big; seq++) {
      const frame = told.get(seq)
      t.ok(frame !== undefined)
      const [, lsn] = frame?.settled.find((entry) => entry[0] === seq) ?? [0, 0]
      t.ok((frame as Data).startLsn < lsn, `statement ${seq} is told in the first frame of its WAL or before`)
    }
    const answer = m.receiver.settledLookup('run-1', [first, big, 999_999])
    t.same(
      answer.settled.map(([seq]) => seq),
      [first, big],
    )
    t.equal(m.receiver.settledLookup('another run', [first]).floor, Number.MAX_SAFE_INTEGER)
  },
)

t.test('a statement whose WAL did not arrive whole is not reported as settled', async (t) => {
  const { network, primary, mirror } = await pair(t)
  const m = mirror()
  await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
  network.alter = (message) =>
    isData(message) ? { ...message, bytes: message.bytes.subarray(0, message.bytes.length - 8) } : message
  const seq = primary.seq
  primary.write([payload(5000)])
  await until('some of it came', () => m.receiver.positions().writeLsn > primary.flushed.at(-1)!)
  t.same(
    m.receiver.settledLookup('run-1', [seq, seq - 1]).settled.map(([one]) => one),
    [seq - 1],
  )
  const stopped = await m.receiver.stop()
  t.equal(stopped.receivedEnd, primary.flushed.at(-1))
  t.notOk(stopped.settled.entries.some(([one]) => one === seq))
})

t.test(
  'one flipped bit on the way is never acknowledged; the stream goes on from the last good record',
  async (t) => {
    const { network, primary, mirror } = await pair(t)
    const m = mirror()
    await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
    const before = primary.position.lsn
    let flipped = 0
    network.alter = (message) => {
      if (!isData(message) || message.bytes.length < 4000 || flipped > 0) return message
      flipped++
      const bytes = Uint8Array.from(message.bytes)
      bytes[3500] = (bytes[3500] as number) ^ 4
      return { ...message, bytes }
    }
    primary.write(Array.from({ length: 40 }, () => payload(300)))
    await until('all is flushed', () => primary.flushed.at(-1) === primary.position.lsn)
    t.equal(flipped, 1)
    t.ok(m.states.includes('waiting'))
    t.ok(same(primary, m))
    const good = m.flushed.find((lsn) => lsn > before)
    t.ok(good !== undefined && good <= before + 3500, 'what came before the bad record counted')
  },
)

t.test(
  'WAL that is bad three times at the same position breaks the receiver, and nothing of it is acknowledged',
  async (t) => {
    const { network, primary, mirror } = await pair(t)
    const m = mirror()
    await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
    const before = primary.position.lsn
    const bad = before + 200
    network.alter = (message) => {
      if (!isData(message) || message.startLsn > bad || message.startLsn + message.bytes.length <= bad)
        return message
      const bytes = Uint8Array.from(message.bytes)
      bytes[bad - message.startLsn] = (bytes[bad - message.startLsn] as number) ^ 1
      return { ...message, bytes }
    }
    primary.write([payload(100), payload(300), payload(100)])
    await until('broken', () => m.receiver.state === 'broken')
    t.equal(m.receiver.reason?.code, 'wal.corrupt')
    t.equal(m.states.filter((state) => state === 'waiting').length, 2)
    t.ok((primary.flushed.at(-1) ?? 0) < bad)
    const { receivedEnd } = await m.receiver.stop()
    t.ok(receivedEnd <= bad && receivedEnd >= before)
  },
)

t.test(
  'a killed connection is made again and goes on where it was; a restarted mirror begins at its segment',
  async (t) => {
    const { network, primary, mirror } = await pair(t)
    const m = mirror()
    await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
    const starts: number[] = []
    network.alter = (message) => {
      if (message.type === 'wal.start') starts.push(message.startLsn)
      return message
    }
    primary.write([payload(1000)])
    await until('flushed', () => primary.flushed.at(-1) === primary.position.lsn)
    const at = primary.position.lsn
    network.cut()
    t.equal(primary.hub.mirrorStatus().attempts, 0)
    await until('back', () => primary.hub.mirrorStatus().caughtUp && starts.length === 1)
    t.same(starts, [at])
    const stopped = await m.receiver.stop()
    primary.write([payload(1000)])
    const again = startMirror(t, network, primary, {
      dir: m.dir,
      start: { timeline: 1, receivedEnd: stopped.receivedEnd },
    })
    await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
    t.same(starts, [at, SEGMENT])
    t.ok(same(primary, again))
    t.same(
      again.receiver.settledLookup('run-1', [0, primary.seq - 1]).settled.map(([seq]) => seq),
      [0, primary.seq - 1],
      'a restarted mirror knows the settled statements again',
    )
  },
)

t.test(
  'a mirror that takes nothing costs the primary no memory and is served from files afterwards',
  async (t) => {
    const { network, primary, mirror } = await pair(t)
    const m = mirror()
    await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
    network.holdToOpener = true
    let most = 0
    for (let i = 0; i < 60; i++) {
      primary.write([payload(500_000, i)])
      await new Promise((resolve) => setImmediate(resolve))
      for (const one of network.connections) most = Math.max(most, one.other.bufferedBytes)
    }
    t.ok(most < 10 * 1024 * 1024, `${most} bytes were queued`)
    t.equal(primary.hub.mirrorStatus().state, 'catchup')
    network.holdToOpener = false
    await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
    t.ok(same(primary, m))
  },
)

t.test('when the ring of settled statements overflows its floor rises for the mirror too', async (t) => {
  const { network, primary, mirror } = await pair(t, { settledLimit: { entries: 20, bytes: 1_000_000 } })
  const m = mirror()
  await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
  network.cut()
  for (let i = 0; i < 100; i++) primary.write([payload(10)])
  await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
  const { floor, settled } = m.receiver.settledLookup(
    'run-1',
    Array.from({ length: primary.seq }, (_, i) => i),
  )
  t.equal(floor, primary.seq - 20)
  t.same(
    settled.map(([seq]) => seq),
    Array.from({ length: 20 }, (_, i) => primary.seq - 20 + i),
  )
  t.same(primary.hub.settledKnown().floor, floor)
})

t.test('another run of the coordinator makes the mirror forget the numbers of the one before', async (t) => {
  const { primary, mirror } = await pair(t)
  const m = mirror()
  await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
  primary.hub.settledReset('run-2', 500)
  const at = primary.position.lsn
  primary.hub.publish({ timeline: 1, start: at, end: at, bytes: undefined }, [[500, at, null]], 'run-2')
  await until('told', () => m.receiver.settledKnown().incarnation === 'run-2')
  t.same(m.receiver.settledLookup('run-2', [499, 500, 501]), { floor: 500, settled: [[500, at, null]] })
  t.same(m.receiver.settledLookup('run-1', [1]).settled, [])
})

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
      identity: { clusterId: CLUSTER_B, content: 0, dbid: 3 },
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
const CLUSTER_B = 'cluster-b'

t.test('a sender that does not know the epoch that the receiver promised gets no mirror', async (t) => {
  const { network, primary, root } = await pair(t)
  const m = startMirror(t, network, primary, { dir: join(root, 'm'), epoch: () => 2 })
  await until('refused', () => m.receiver.reason?.code === 'epoch.stale')
  t.equal(primary.hub.mirrorStatus().state === 'streaming', false)
  primary.epoch = 2
  await until('it streams', () => primary.hub.mirrorStatus().caughtUp)
})

t.test('acknowledged WAL is not overwritten when the sender has other bytes at the same place', async (t) => {
  const { network, primary, mirror, root } = await pair(t)
  const m = mirror()
  await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
  const stopped = await m.receiver.stop()
  const name = readdirSync(m.dir)[0]!
  copyFileSync(join(m.dir, name), join(root, 'kept'))
  const liar = new FakePrimary(join(root, 'liar'), network)
  t.teardown(() => liar.hub.stop())
  await liar.listen(network)
  liar.write(Array.from({ length: 20 }, (_, i) => payload(100 + i, 99)))
  const again = startMirror(t, network, liar, {
    dir: m.dir,
    start: { timeline: 1, receivedEnd: stopped.receivedEnd },
  })
  await until('broken', () => again.receiver.state === 'broken')
  t.equal(again.receiver.reason?.code, 'wal.rewrite')
  await again.receiver.stop()
  t.ok(readFileSync(join(root, 'kept')).equals(readFileSync(join(m.dir, name))))
})

t.test('a newer stream of the same mirror ends the older one', async (t) => {
  const { network, primary, mirror, root } = await pair(t)
  const first = mirror()
  await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
  const second = startMirror(t, network, primary, { dir: join(root, 'm2') })
  await until('the second streams', () => second.receiver.state === 'streaming')
  await until('the first is out', () => first.states.includes('waiting'))
  await first.receiver.stop()
  await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
  t.equal(primary.hub.replicationRows().length, 1)
})

t.test(
  'a mirror that falls silent is given up after wal_sender_timeout, one that only has nothing to do is not',
  async (t) => {
    const { network, primary, mirror } = await pair(t)
    const m = mirror()
    await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
    let keepalives = 0
    network.alter = (message) => {
      if (message.type === 'wal.keepalive') keepalives++
      return message
    }
    await until('it was idle for longer than the limit', () => keepalives >= 6)
    t.equal(primary.hub.mirrorStatus().state, 'streaming', 'keepalives keep an idle stream')
    network.alter = (message, to) =>
      to === 'listener' && message.type === 'wal.flushed' ? undefined : message
    await until('given up', () => primary.states.some(({ reason }) => reason?.code === 'connection.silent'))
    t.ok(primary.hub.mirrorStatus().disconnectedAt !== null || m.receiver.state !== 'streaming')
  },
)

t.test(
  'PostgreSQL started again with less WAL than was published: streams beyond it end and come back',
  async (t) => {
    const { primary, mirror } = await pair(t)
    const m = mirror()
    await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
    const at = primary.position
    const { lsn } = at
    primary.hub.publish({ timeline: 1, start: lsn, end: lsn + 16, bytes: payload(16, 9) }, [], 'run-1')
    await until('half a record is there', () => m.receiver.positions().writeLsn === lsn + 16)
    t.equal(m.receiver.positions().flushLsn, lsn, 'half a record is not acknowledged')
    primary.hub.restarted(1, lsn)
    primary.write([payload(400)])
    await until('flushed', () => primary.flushed.at(-1) === primary.position.lsn)
    t.ok(same(primary, m))
  },
)

t.test('a full disk stops the acknowledgements, is reported, and is tried again', async (t) => {
  const { network, primary, root } = await pair(t)
  let full = false
  const error = (): Error => Object.assign(new Error('no space left'), { code: 'ENOSPC' })
  const disk: Disk = {
    ...realDisk,
    open: async (path, mode) => {
      const file = await realDisk.open(path, mode)
      return {
        read: (at, length) => file.read(at, length),
        truncate: (length) => file.truncate(length),
        size: () => file.size(),
        close: () => file.close(),
        write: (at, bytes) => (full ? Promise.reject(error()) : file.write(at, bytes)),
        sync: () => (full ? Promise.reject(error()) : file.sync()),
      }
    },
  }
  const m = startMirror(t, network, primary, { dir: join(root, 'm'), ports: testPorts(network, disk) })
  await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
  const before = primary.position.lsn
  full = true
  primary.write([payload(10_000)])
  await until(
    'it is reported',
    () => m.receiver.reason?.code === 'disk.failed' && m.states.includes('waiting'),
  )
  t.equal(primary.flushed.at(-1), before)
  full = false
  await until('flushed', () => primary.flushed.at(-1) === primary.position.lsn)
  t.ok(same(primary, m))
})

t.test('a mirror with nothing to receive at a segment boundary counts as caught up', async (t) => {
  const { network, primary, root } = await pair(t)
  const { lsn } = primary.position
  const rest = SEGMENT - (lsn % SEGMENT)
  const pages = Math.floor(rest / 8192)
  primary.write([payload(rest - 24 * pages - 24 - 5)])
  t.equal(primary.position.lsn % SEGMENT, 0)
  startMirror(t, network, primary, {
    dir: join(root, 'm'),
    start: { timeline: 1, receivedEnd: primary.position.lsn },
  })
  await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
  primary.write([payload(100)])
  await until('flushed', () => primary.flushed.at(-1) === primary.position.lsn)
})

t.test(
  'half of a record across a segment boundary lets the boundary be acknowledged, and no more',
  async (t) => {
    const { primary, mirror } = await pair(t)
    const m = mirror()
    await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
    const { lsn } = primary.position
    const encoded = encodeWalRecords(primary.position, [{ payload: payload(2_000_000) }])
    const boundary = 2 * SEGMENT
    writeSegments(primary.dir, 1, lsn, encoded.bytes)
    primary.hub.publish(
      { timeline: 1, start: lsn, end: boundary, bytes: encoded.bytes.subarray(0, boundary - lsn) },
      [],
      '',
    )
    await until('the boundary is flushed', () => primary.flushed.at(-1) === boundary)
    t.equal(m.receiver.positions().validEnd, lsn)
    t.equal(
      (await m.receiver.stop()).receivedEnd,
      lsn,
      'a promotion begins at the end of the last whole record',
    )
  },
)

t.test('stop ends the flush in flight and always gives the same answer', async (t) => {
  const { primary, mirror } = await pair(t)
  const m = mirror()
  await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
  primary.write([payload(50_000)])
  const [one, two] = await Promise.all([m.receiver.stop(), m.receiver.stop()])
  t.equal(one, two)
  t.equal(m.receiver.state, 'stopped')
  t.ok(one.receivedEnd >= (primary.flushed.at(-1) as number))
  m.receiver.setPeer({ dbid: 9, endpoint: { addresses: ['memory'], port: 99 } })
  t.equal(m.receiver.state, 'stopped')
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
