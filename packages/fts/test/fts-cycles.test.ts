import t from 'tap'
import type { SegmentRow } from '@mirabelle/messages'
import { fakeCluster, healthy, pairs, refused, row, started } from './fake-cluster.ts'

const probes = (did: readonly string[], dbid: number) => did.filter((act) => act === `probe ${dbid}`).length

t.test('a content whose primary hangs does not delay another', async (t) => {
  const c = await started(fakeCluster(pairs(3)))
  c.instances.set(2, 'silent')
  c.instances.set(3, refused)
  await c.clock.advance(6_000)
  t.strictSame(c.acts(), ['record 3:m/d/n 13:p/u/n', 'recorded', 'topology 1', 'fence 3', 'promote 13'])
  c.instances.set(4, refused)
  c.prober.notify({ kind: 'death', dbid: 4, pid: 1 })
  await c.clock.advance(1)
  t.strictSame(c.acts(), ['record 4:m/d/n 14:p/u/n', 'recorded', 'topology 2', 'fence 4', 'promote 14'])
  await c.clock.advance(10_000)
  t.match(c.acts(), ['record 2:m/d/n 12:p/u/n'])
  await c.prober.stop()
})

t.test('a record that takes long does not delay another content', async (t) => {
  const c = await started(fakeCluster(pairs(2)))
  c.instances.set(2, refused)
  c.instances.set(3, refused)
  let finish = () => {}
  let first = true
  c.recordWith = async () => {
    if (!first) return
    first = false
    await new Promise<void>((resolve) => (finish = resolve))
  }
  c.prober.notify({ kind: 'death', dbid: 2, pid: 1 })
  await c.clock.advance(1)
  c.prober.notify({ kind: 'death', dbid: 3, pid: 1 })
  await c.clock.advance(1)
  t.ok(c.did.includes('promote 13'))
  t.notOk(c.did.includes('promote 12'))
  finish()
  await c.clock.advance(1)
  t.ok(c.did.includes('promote 12'))
  await c.prober.stop()
})

t.test('scans between cycles share one', async (t) => {
  const c = await started(fakeCluster(pairs(2)))
  const before = probes(c.did, 2)
  const scans = [c.prober.requestScan(), c.prober.requestScan(), c.prober.requestProbe(0)]
  await c.clock.advance(1)
  await Promise.all(scans)
  t.equal(probes(c.did, 2), before + 1)
  t.equal(probes(c.did, 3), before + 1)
  await c.prober.stop()
})

t.test('a scan during a cycle gets the result of a fresh one', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.instances.set(2, 'silent')
  c.prober.notify({ kind: 'dispatch-failed', dbid: 2 })
  await c.clock.advance(200)
  const before = probes(c.did, 2)
  let ended = 0
  const scans = [c.prober.requestScan(), c.prober.requestScan()].map(async (scan) =>
    scan.then(() => (ended += 1)),
  )
  c.instances.set(2, healthy)
  await c.clock.advance(500)
  t.equal(ended, 0, 'the cycle that runs is still waiting for its answer')
  await c.clock.advance(800)
  await Promise.all(scans)
  t.equal(probes(c.did, 2), before + 2, 'the retry of the old cycle, and one fresh cycle for both')
  await c.prober.stop()
})

t.test('a scan resolves also when a content is in trouble', async (t) => {
  const c = fakeCluster(pairs(2, { mode: 'n' }))
  c.instances.set(2, { isMirrorUp: true })
  await started(c)
  c.instances.set(2, refused)
  const scan = c.prober.requestScan()
  await c.clock.advance(500)
  await scan
  t.equal(c.prober.contentState(0)?.health, 'double-fault')
  await c.prober.stop()
})

t.test('a dispatcher that keeps failing does not flood a segment', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  const before = probes(c.did, 2)
  for (let i = 0; i < 100; i += 1) {
    c.prober.notify({ kind: 'dispatch-failed', dbid: 2 })
    await c.clock.advance(10)
  }
  t.ok(probes(c.did, 2) - before <= 11, `${probes(c.did, 2) - before} probes in a second`)
  await c.prober.stop()
})

t.test('after stop() nothing is sent, recorded or waited for, wherever the machines stood', async (t) => {
  for (let ms = 0; ms <= 700; ms += 50) {
    const c = await started(fakeCluster(pairs(3)))
    c.instances.set(2, refused)
    c.instances.set(3, 'silent')
    c.instances.set(4, { isSyncRepEnabled: true })
    c.onSyncRepOff.set(4, refused)
    const scan = c.prober.requestScan()
    scan.catch(() => {})
    await c.clock.advance(ms)
    await c.prober.stop()
    const before = c.did.length
    await c.clock.advance(60_000)
    t.equal(c.did.length, before, `stopped after ${ms} ms`)
    await t.rejects(scan, { code: 'not.ready' })
    await t.rejects(c.prober.requestScan(), { code: 'not.ready' })
  }
})

t.test('stop() waits for a record under way, and what follows it is left to the next prober', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.instances.set(2, refused)
  let finish = () => {}
  c.recordWith = () => new Promise((resolve) => (finish = resolve))
  c.prober.notify({ kind: 'death', dbid: 2, pid: 1 })
  await c.clock.advance(1)
  let stopped = false
  const stopping = c.prober.stop().then(() => (stopped = true))
  await c.clock.advance(10_000)
  t.notOk(stopped)
  finish()
  await stopping
  t.strictSame(c.acts(), ['record 2:m/d/n 12:p/u/n', 'recorded'])

  c.prober.start()
  await c.clock.advance(1)
  t.strictSame(c.acts(), ['fence 2', 'promote 12'], 'a prober that starts finds the lost PROMOTE')
  await c.prober.stop()
})

t.test(
  'a content on hold is left alone, also by scans and certificates; the certificate acts afterwards',
  async (t) => {
    const c = await started(fakeCluster(pairs(2)))
    const release = await c.prober.hold(0)
    c.instances.set(2, refused)
    c.prober.notify({ kind: 'death', dbid: 2, pid: 1 })
    const before = probes(c.did, 2)
    const scan = c.prober.requestScan()
    await c.clock.advance(20_000)
    await scan
    t.equal(probes(c.did, 2), before)
    t.ok(probes(c.did, 3) > before)
    release()
    release()
    await c.clock.advance(1)
    t.ok(c.did.includes('promote 12'))
    await c.prober.stop()
  },
)

t.test(
  'a certificate of a primary that an administrator has replaced under a hold is forgotten',
  async (t) => {
    const c = await started(fakeCluster(pairs(1)))
    const release = await c.prober.hold(0)
    c.prober.notify({ kind: 'death', dbid: 2, pid: 1 })
    const [, primary, mirror] = c.rows as [SegmentRow, SegmentRow, SegmentRow]
    c.rows.splice(
      1,
      2,
      { ...primary, role: 'm', mode: 'n', status: 'd' },
      { ...mirror, role: 'p', mode: 'n', status: 'u' },
    )
    // The new primary is slow to answer once; that is no fault yet.
    c.instances.set(12, 'silent')
    release()
    await c.clock.advance(1_100)
    t.equal(c.prober.contentState(0)?.health, 'suspect', 'one silence is no double fault: it is asked again')
    await c.prober.stop()
  },
)

t.test('a scan that was asked for before the hold does not wait for its end', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.instances.set(2, 'silent')
  c.prober.notify({ kind: 'dispatch-failed', dbid: 2 })
  await c.clock.advance(200)
  let ended = false
  const scan = c.prober.requestScan().then(() => (ended = true))
  const hold = c.prober.hold(0)
  c.instances.set(2, healthy)
  await c.clock.advance(5_000)
  t.ok(ended, 'the content is passed over')
  ;(await hold)()
  await scan
  await c.prober.stop()
})

t.test('a hold waits for the cycle that runs', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.instances.set(2, 'silent')
  c.prober.notify({ kind: 'dispatch-failed', dbid: 2 })
  await c.clock.advance(200)
  let held = false
  const hold = c.prober.hold(0).then((release) => {
    held = true
    return release
  })
  await c.clock.advance(100)
  t.notOk(held)
  await c.clock.advance(5_000)
  await hold
  t.ok(c.did.includes('promote 12'), 'the cycle came to its end')
  const before = c.did.length
  await c.clock.advance(20_000)
  t.equal(c.did.length, before)
  await c.prober.stop()
})

t.test('contents that are added are probed, those that are removed are forgotten', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.rows.push(row({ dbid: 5, content: 1, mode: 'n' }))
  c.instances.set(5, {})
  await c.clock.advance(6_000)
  t.ok(probes(c.did, 5) > 0)
  t.equal(c.prober.contentState(1)?.health, 'up')
  c.rows.pop()
  await c.clock.advance(6_000)
  t.equal(c.prober.contentState(1), undefined)
  const before = probes(c.did, 5)
  await c.clock.advance(20_000)
  t.equal(probes(c.did, 5), before)
  await c.prober.stop()
})
