import t from 'tap'
import { join } from 'node:path'
import { encodeWalRecords } from '../src/index.ts'
import { payload, SEGMENT, startMirror, until, writeSegments } from './support/fixture.ts'
import { pair, same } from './support/pair.ts'

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
