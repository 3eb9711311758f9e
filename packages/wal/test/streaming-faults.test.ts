import t from 'tap'
import { copyFileSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { realDisk } from '@mirabelle/runtime'
import type { Disk, Network } from '@mirabelle/runtime'
import { FakePrimary, payload, SEGMENT, startMirror, testPorts, until, walIn } from './support/fixture.ts'
import { isData, pair, same } from './support/pair.ts'

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
  'a killed connection is made again and begins at the segment of the end, as a restarted mirror does',
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
    network.cut()
    t.equal(primary.hub.mirrorStatus().attempts, 0)
    await until('back', () => primary.hub.mirrorStatus().caughtUp && starts.length === 1)
    t.same(starts, [SEGMENT])
    const stopped = await m.receiver.stop()
    primary.write([payload(1000)])
    const again = startMirror(t, network, primary, {
      dir: m.dir,
      start: { timeline: 1, receivedEnd: stopped.receivedEnd },
    })
    await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
    t.same(starts, [SEGMENT, SEGMENT])
    t.ok(same(primary, again))
    t.same(
      again.receiver.settledLookup('run-1', [0, primary.seq - 1]).settled.map(([seq]) => seq),
      [0, primary.seq - 1],
      'a restarted mirror knows the settled statements again',
    )
  },
)

t.test(
  'what was acknowledged of a record that goes across the end of a segment stays as it is while the stream begins anew: PostgreSQL replays it',
  async (t) => {
    const { network, primary, mirror } = await pair(t)
    const m = mirror()
    await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
    const before = primary.position.lsn
    const boundary = 2 * SEGMENT
    let limit = boundary + 5_000
    let came = 0
    network.alter = (message) => {
      if (!isData(message)) return message
      const bytes = message.bytes.subarray(0, Math.max(0, limit - message.startLsn))
      if (bytes.length === 0) return undefined
      came++
      return { ...message, bytes }
    }
    primary.write([payload(SEGMENT + 50_000)])
    await until('the segment is acknowledged', () => m.flushed.at(-1) === boundary)
    t.ok(m.receiver.positions().validEnd < boundary, 'but not the record')
    const there = walIn(m.dir, 1, SEGMENT, boundary)
    t.ok(there.equals(walIn(primary.dir, 1, SEGMENT, boundary)))
    limit = before - 100
    came = 0
    network.cut()
    await until('some of it comes again', () => came > 0)
    t.ok(walIn(m.dir, 1, SEGMENT, boundary).equals(there))
    limit = Infinity
    network.cut()
    await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
    t.ok(same(primary, m))
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
    await until('it was idle for longer than the limit', () => keepalives >= 3)
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

t.test(
  'a full disk stops the acknowledgements, is reported, and is tried again when there is room',
  async (t) => {
    const { network, primary, root } = await pair(t)
    let full = false
    let open = 0
    let connections = 0
    const refusal = (): Promise<never> =>
      Promise.reject(Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' }))
    const disk: Disk = {
      ...realDisk,
      freeBytes: (path) => (full ? Promise.resolve(4096) : realDisk.freeBytes(path)),
      open: async (path, mode) => {
        const file = await realDisk.open(path, mode)
        open++
        return {
          read: (at, length) => file.read(at, length),
          truncate: (length) => file.truncate(length),
          reserve: (length) => (full ? refusal() : file.reserve(length)),
          size: () => file.size(),
          close: () => {
            open--
            return file.close()
          },
          write: (at, bytes) => (full ? refusal() : file.write(at, bytes)),
          sync: () => file.sync(),
        }
      },
    }
    const counted: Network = {
      ...network,
      connect: (...args) => {
        connections++
        return network.connect(...args)
      },
    }
    const m = startMirror(t, network, primary, {
      dir: join(root, 'm'),
      ports: { ...testPorts(network, disk), network: counted },
    })
    await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
    const before = primary.position.lsn
    full = true
    primary.write([payload(10_000)])
    await until(
      'it is reported, and looked at again',
      () => m.states.filter((state) => state === 'waiting').length >= 4,
    )
    t.match(m.receiver.reason, { code: 'disk.full', message: /the disk of .* is full: make room there/ })
    t.ok(connections <= 2, 'a mirror without room does not come and go')
    t.equal(open, 0, 'no file stays open')
    t.equal(primary.flushed.at(-1), before)
    full = false
    await until('flushed', () => primary.flushed.at(-1) === primary.position.lsn)
    t.ok(same(primary, m))
  },
)

t.test('received WAL that cannot be made durable at the start is never acknowledged', async (t) => {
  const { network, primary, root } = await pair(t)
  const dir = join(root, 'm')
  const first = startMirror(t, network, primary, { dir, ports: testPorts(network, realDisk) })
  await until('streaming', () => primary.hub.mirrorStatus().caughtUp)
  primary.write([payload(10_000)])
  await until('flushed', () => primary.flushed.at(-1) === primary.position.lsn)
  const { receivedEnd } = await first.receiver.stop()
  const acknowledged = primary.flushed.length
  let syncs = 0
  const disk: Disk = {
    ...realDisk,
    open: async (path, mode) => {
      const file = await realDisk.open(path, mode)
      // As Linux does: the first fsync fails, and the next says that all is well.
      const sync = () => (syncs++ === 0 ? Promise.reject(new Error('EIO: i/o error, fsync')) : file.sync())
      return { ...file, sync }
    },
  }
  const m = startMirror(t, network, primary, {
    dir,
    ports: testPorts(network, disk),
    start: { timeline: 1, receivedEnd },
  })
  await until('it gives up', () => m.receiver.state === 'broken')
  t.match(m.receiver.reason, { code: 'wal.unsynced', message: /EIO/ })
  t.equal(syncs, 1, 'it was not tried again')
  t.equal(primary.flushed.length, acknowledged, 'nothing was acknowledged')
})
