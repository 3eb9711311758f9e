import t from 'tap'
import { payload, until } from './support/fixture.ts'
import { isData, pair } from './support/pair.ts'
import type { Data } from './support/pair.ts'

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
