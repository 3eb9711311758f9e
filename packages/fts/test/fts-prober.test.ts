import t from 'tap'
import {
  catalogOf,
  fakeCluster,
  healthy,
  pairs,
  refused,
  row,
  started,
  type FakeCluster,
} from './fake-cluster.ts'

const failover = ['record 2:m/d/n 12:p/u/n', 'recorded', 'topology 0', 'fence 2', 'promote 12']
const death = (dbid: number) => ({ kind: 'death', dbid, pid: 1 }) as const
const goneInGrace = { isMirrorUp: false, isSyncRepEnabled: true, requestRetry: true }
const gone = { isMirrorUp: false, isSyncRepEnabled: true }

async function scan({ prober, clock }: FakeCluster): Promise<void> {
  const done = prober.requestScan()
  await clock.advance(450)
  await done
}

t.test('a healthy pair is probed every interval and nothing is done', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  await c.clock.advance(20_000)
  t.equal(c.did.filter((act) => act === 'probe 2').length, 5)
  t.strictSame(c.acts(), [])
  t.match(c.prober.contentState(0), { health: 'up', primaryDbid: 2, machineState: 'idle', advice: '' })
  await c.prober.stop()
})

t.test('a primary that refuses is failed over after all retries, catalog first', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.instances.set(2, refused)
  c.prober.notify({ kind: 'connection-lost', dbid: 2 })
  await c.clock.advance(400)
  t.strictSame(c.acts(), [], 'not before the last retry')
  t.equal(c.prober.contentState(0)?.health, 'suspect')
  await c.clock.advance(110)
  t.strictSame(c.acts(), failover)
  t.equal(catalogOf(c), '2:m/d/n 12:p/u/n')
  t.strictSame(c.history, [
    'FTS: update role, status, and mode for dbid 2 with contentid 0 to m, d, and n',
    'FTS: update role, status, and mode for dbid 12 with contentid 0 to p, u, and n',
  ])
  await c.prober.stop()
})

t.test('a death certificate needs one probe and no retries', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.instances.set(2, refused)
  const before = c.did.length
  c.prober.notify(death(2))
  await c.clock.advance(1)
  t.strictSame(c.did.slice(before), ['probe 2', ...failover])
  await c.prober.stop()
})

t.test('a death certificate of a process that has a successor changes nothing', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.prober.notify(death(2))
  await c.clock.advance(3_000)
  t.strictSame(c.acts(), [])
  await c.prober.stop()
})

t.test('a death certificate during a probe replaces it: the answer on its way proves nothing', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.instances.set(2, 'silent')
  c.prober.notify({ kind: 'dispatch-failed', dbid: 2 })
  await c.clock.advance(150)
  c.instances.set(2, refused)
  c.prober.notify(death(2))
  await c.clock.advance(1)
  t.strictSame(c.acts(), failover)
  await c.prober.stop()
})

t.test('a death certificate between two attempts ends the waiting', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.instances.set(2, refused)
  c.prober.notify({ kind: 'dispatch-failed', dbid: 2 })
  await c.clock.advance(150)
  t.equal(c.prober.contentState(0)?.machineState, 'retryWait')
  c.prober.notify(death(2))
  await c.clock.advance(1)
  t.strictSame(c.acts(), failover)
  await c.prober.stop()
})

t.test(
  'a hung primary is failed over within the probe limits; its silence counts as an attempt',
  async (t) => {
    const c = await started(fakeCluster(pairs(1)))
    c.instances.set(2, 'silent')
    c.prober.notify({ kind: 'connection-silent', dbid: 2 })
    await c.clock.advance(2_150)
    t.strictSame(c.acts(), [])
    await c.clock.advance(160)
    t.strictSame(c.acts(), failover)
    await c.prober.stop()
  },
)

t.test('PROMOTE does not wait for the fence, and a fence that fails is only logged', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.instances.set(2, refused)
  c.fenceWith = () =>
    new Promise((_, reject) => void c.clock.setTimer(60_000, () => reject(new Error('no route'))))
  c.prober.notify(death(2))
  await c.clock.advance(1)
  t.strictSame(c.acts(), failover)
  await c.clock.advance(61_000)
  t.ok(c.logged.some((line) => line.includes('could not be fenced')))
  await c.prober.stop()
})

t.test(
  'PROMOTE is sent again within the cycle, and in the next ones when the new primary still acts as mirror',
  async (t) => {
    const c = await started(fakeCluster(pairs(1)))
    c.instances.set(2, refused)
    c.onPromote.set(12, refused)
    c.prober.notify(death(2))
    await c.clock.advance(500)
    t.strictSame(c.acts(), [...failover, 'promote 12', 'promote 12'])
    c.onPromote.set(12, { isRoleMirror: true })
    await c.clock.advance(1_000)
    t.strictSame(c.acts().slice(0, 2), ['promote 12', 'promote 12'], 'the catalog stays, no second fence')
    c.instances.set(12, { recovering: true })
    await c.clock.advance(300)
    t.equal(c.prober.contentState(0)?.health, 'failing-over')
    c.instances.set(12, {})
    await c.clock.advance(200)
    t.equal(c.prober.contentState(0)?.health, 'up')
    t.equal(catalogOf(c), '2:m/d/n 12:p/u/n')
    await c.prober.stop()
  },
)

t.test('a mirror that is not in sync is never promoted: double fault, told once per episode', async (t) => {
  const d = fakeCluster(pairs(1, { mode: 'n' }))
  d.instances.set(2, refused)
  d.prober.start()
  await d.clock.advance(20_000)
  t.strictSame(d.acts(), ['record FTS: double fault detected for content id 0', 'recorded'])
  t.match(d.prober.contentState(0), { health: 'double-fault', advice: /mirabelle start/ })
  d.instances.set(2, {})
  await d.clock.advance(1_500)
  t.strictSame(d.acts().slice(0, 2), [
    'record FTS: content id 0 is out of double fault, dbid 2 is up',
    'recorded',
  ])
  t.equal(d.prober.contentState(0)?.health, 'up')
  d.instances.set(2, refused)
  await d.clock.advance(7_000)
  t.strictSame(
    d.acts().slice(-2),
    ['record FTS: double fault detected for content id 0', 'recorded'],
    'a new episode',
  )
  await d.prober.stop()
})

t.test('a mirror within its grace period stays up; after it: catalog first, then SYNCREP_OFF', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.instances.set(2, goneInGrace)
  c.prober.notify({ kind: 'connection-lost', dbid: 12 })
  await c.clock.advance(3_000)
  t.strictSame(c.acts(), [])
  c.instances.set(2, gone)
  await c.clock.advance(400)
  t.strictSame(c.acts(), ['record 2:p/u/n 12:m/d/n', 'recorded', 'topology 0', 'syncRepOff 2'])
  t.strictSame(c.history, [
    'FTS: update role, status, and mode for dbid 2 with contentid 0 to p, u, and n',
    'FTS: update role, status, and mode for dbid 12 with contentid 0 to m, d, and n',
  ])
  await c.prober.stop()
})

t.test(
  'the death certificate of a mirror ends its grace period, also when its primary notices late',
  async (t) => {
    const c = await started(fakeCluster(pairs(1)))
    c.prober.notify(death(12))
    await c.clock.advance(120)
    t.strictSame(c.acts(), [], 'the primary still calls it up')
    c.instances.set(2, goneInGrace)
    await c.clock.advance(60)
    t.strictSame(c.acts(), ['record 2:p/u/n 12:m/d/n', 'recorded', 'topology 0', 'syncRepOff 2'])
    await c.prober.stop()
  },
)

t.test('the death certificate of a mirror that came back is forgotten', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.prober.notify(death(12))
  await c.clock.advance(2_000)
  c.instances.set(2, goneInGrace)
  await scan(c)
  t.strictSame(c.acts(), [], 'the next loss has its grace period')
  await c.prober.stop()
})

t.test('a mirror that loses a connection is watched until its primary must have noticed', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  await c.clock.advance(200)
  c.prober.notify({ kind: 'connection-silent', dbid: 12 })
  await c.clock.advance(1)
  await c.clock.advance(3_000)
  c.instances.set(2, gone)
  await c.clock.advance(1_001)
  t.strictSame(c.acts(), ['record 2:p/u/n 12:m/d/n', 'recorded', 'topology 0', 'syncRepOff 2'])
  await c.prober.stop()
})

t.test('SYNCREP_OFF that fails is retried, and again a second later, without another record', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.instances.set(2, gone)
  c.onSyncRepOff.set(2, 'timeout')
  c.prober.notify(death(12))
  await c.clock.advance(500)
  t.strictSame(c.acts().slice(3), ['syncRepOff 2', 'syncRepOff 2', 'syncRepOff 2'])
  c.onSyncRepOff.set(2, () => {
    c.instances.set(2, {})
    return {}
  })
  await c.clock.advance(1_000)
  t.strictSame(c.acts(), ['syncRepOff 2'])
  await c.prober.stop()
})

t.test('a mirror that comes back is recorded u,n, and s only when commits wait for it', async (t) => {
  const c = fakeCluster(pairs(1, { mode: 'n' }))
  c.rows[2] = row({ dbid: 12, content: 0, role: 'm', mode: 'n', status: 'd' })
  c.instances.set(2, {})
  await started(c)
  c.instances.set(2, { isMirrorUp: true })
  await scan(c)
  t.strictSame(c.acts(), ['record 12:m/u/n', 'recorded', 'topology 0'])
  c.instances.set(2, { isMirrorUp: true, isInSync: true })
  await c.clock.advance(2_000)
  t.strictSame(c.acts(), [], 'in sync, but commits do not wait')
  c.instances.set(2, healthy)
  await scan(c)
  t.strictSame(c.acts(), ['record 2:p/u/s 12:m/u/s', 'recorded', 'topology 0'])
  await c.prober.stop()
})

t.test('a pair in sync is recorded n when its mirror keeps catching up, not when it flickers', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  const answers = [{ isMirrorUp: true, isSyncRepEnabled: true }]
  c.instances.set(2, () => answers.pop() ?? healthy)
  await scan(c)
  t.strictSame(c.acts(), [])
  c.instances.set(2, { isMirrorUp: true, isSyncRepEnabled: true })
  await scan(c)
  t.strictSame(c.acts(), ['record 2:p/u/n 12:m/u/n', 'recorded', 'topology 0'])
  await c.prober.stop()
})

t.test('a recovery that advances is left alone, one that stands still is not', async (t) => {
  const c = fakeCluster(pairs(1), { recoveryStallMs: 2_000 })
  let lsn = 100
  c.instances.set(2, () => ({ recovering: true, replayLsn: (lsn += 10) }))
  await started(c)
  await c.clock.advance(60_000)
  t.strictSame(c.acts(), [])
  t.equal(c.prober.contentState(0)?.health, 'recovering')
  c.instances.set(2, () => ({ recovering: true, replayLsn: lsn }))
  await c.clock.advance(1_500)
  t.strictSame(c.acts(), [], 'within the limit')
  await c.clock.advance(1_500)
  t.strictSame(c.acts(), failover)
  await c.prober.stop()
})

t.test('the stalled recovery of the old primary is not held against the new one', async (t) => {
  const c = await started(fakeCluster(pairs(1), { recoveryStallMs: 2_000 }))
  c.instances.set(2, { recovering: true, replayLsn: 100 })
  c.onPromote.set(12, () => {
    c.instances.set(12, { recovering: true, replayLsn: 100, roleState: 'promoting' })
    return { recovering: true }
  })
  await scan(c)
  await c.clock.advance(4_000)
  t.strictSame(c.acts(), failover)
  t.equal(c.prober.contentState(0)?.health, 'failing-over', 'its promotion has the same time')
  await c.prober.stop()
})

t.test('nobody is told anything while the catalog cannot be made durable', async (t) => {
  for (const [dbid, behaviour] of [
    [2, refused],
    [12, gone],
  ] as const) {
    const c = await started(fakeCluster(pairs(1)))
    c.instances.set(2, behaviour)
    c.recordWith = () => Promise.reject(new Error('disk full'))
    c.prober.notify(death(dbid))
    await c.clock.advance(10)
    t.match(c.acts().join(), /^record [^,]*$/, 'the attempt to record is all')
    await c.clock.advance(5_000)
    t.notMatch(c.acts().join(), /promote|syncRepOff|fence|topology/)
    c.recordWith = null
    await c.clock.advance(2_000)
    t.match(
      c.acts().join(),
      dbid === 2 ? /recorded,topology 0,fence 2,promote 12/ : /recorded,topology 0,syncRepOff 2/,
    )
    await c.prober.stop()
  }
})

t.test('nothing is sent while a record is under way', async (t) => {
  for (const [dbid, behaviour] of [
    [2, refused],
    [12, gone],
  ] as const) {
    const c = await started(fakeCluster(pairs(1)))
    let finish = () => {}
    c.instances.set(2, behaviour)
    c.recordWith = () => new Promise((resolve) => (finish = resolve))
    c.prober.notify(death(dbid))
    await c.clock.advance(30_000)
    t.match(c.acts().join(), /^record [^,]*$/)
    finish()
    await c.clock.advance(0)
    t.match(c.acts().join(), /^recorded,topology 0,/)
    await c.prober.stop()
  }
})

t.test(
  'when both processes are certainly dead nothing is flipped, and whichever comes back serves',
  async (t) => {
    for (const back of [2, 12]) {
      const c = await started(fakeCluster(pairs(1)))
      c.instances.set(2, refused)
      c.instances.set(12, refused)
      c.prober.notify(death(12))
      c.prober.notify(death(2))
      await c.clock.advance(10_000)
      t.strictSame(c.acts(), ['record FTS: double fault detected for content id 0', 'recorded'])
      t.equal(catalogOf(c), '2:p/u/s 12:m/u/s')
      c.instances.set(back, back === 2 ? gone : { isRoleMirror: true })
      await c.clock.advance(2_000)
      const acts = c.acts()
      if (back === 12) t.strictSame(acts.slice(0, failover.length), failover)
      else
        t.match(
          acts.join(),
          /out of double fault, dbid 2 is up,recorded,record 2:p\/u\/n 12:m\/d\/n,recorded,topology 0,syncRepOff 2/,
        )
      await c.prober.stop()
    }
  },
)

t.test('a content without mirror: down and up are told, the policy is asked', async (t) => {
  for (const policy of ['shutdown', 'refuse']) {
    const c = fakeCluster([row({ dbid: 2, content: 0, mode: 'n' })])
    c.settings = { ...c.settings, mirrorless_policy: policy }
    c.instances.set(2, {})
    await started(c)
    c.instances.set(2, refused)
    c.prober.notify(death(2))
    await c.clock.advance(10_000)
    t.strictSame(c.acts(), [
      'record FTS: content id 0 dbid 2 is down',
      'recorded',
      ...(policy === 'shutdown' ? ['shutdown 0'] : []),
    ])
    t.match(c.prober.contentState(0), { health: 'down', advice: /mirabelle start/ })
    c.instances.set(2, {})
    await c.clock.advance(2_000)
    t.strictSame(c.acts(), ['record FTS: content id 0 dbid 2 is now up', 'recorded'])
    await c.prober.stop()
  }
})

t.test('an instance that has promised a higher epoch ends the prober, once', async (t) => {
  const c = await started(fakeCluster(pairs(3)))
  c.instances.set(2, 'epoch.stale')
  c.instances.set(3, 'epoch.stale')
  await c.clock.advance(20_000)
  t.strictSame(c.acts(), ['superseded'])
  t.equal(c.clock.pending, 0)
  await t.rejects(c.prober.requestScan(), { code: 'not.ready' })
  await c.prober.stop()
})

t.test('attempts during which this process stood still are not held against the primary', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.instances.set(2, 'silent')
  c.prober.notify({ kind: 'dispatch-failed', dbid: 2 })
  await c.clock.advance(150)
  await c.clock.freeze(60_000)
  c.instances.set(2, healthy)
  t.equal(c.prober.contentState(0)?.health, 'up', 'not even suspect')
  await c.clock.advance(5_000)
  t.strictSame(c.acts(), [])
  await c.prober.stop()
})

t.test('a pair that an administrator changed while an answer was awaited is looked at anew', async (t) => {
  const c = await started(fakeCluster(pairs(1)))
  c.instances.set(2, 'silent')
  c.prober.notify({ kind: 'dispatch-failed', dbid: 2 })
  await c.clock.advance(150)
  c.rows[1] = { ...c.rows[1]!, role: 'm' }
  c.rows[2] = { ...c.rows[2]!, role: 'p' }
  c.instances.set(12, healthy)
  await c.clock.advance(10_000)
  t.strictSame(c.acts(), [])
  t.equal(c.prober.contentState(0)?.primaryDbid, 12)
  await c.prober.stop()
})

t.test('the rows of content -1 are never probed or changed', async (t) => {
  const c = await started(fakeCluster(pairs(2)))
  c.instances.set(1, refused)
  c.prober.notify(death(1))
  await c.clock.advance(20_000)
  t.notOk(c.did.includes('probe 1'))
  t.strictSame(c.acts(), [])
  await c.prober.stop()
})

t.test(
  'a mirror that dies while it takes over is a double fault at once, not after all retries of PROMOTE',
  async (t) => {
    for (const when of ['the failover is recorded', 'PROMOTE has failed']) {
      const c = await started(fakeCluster(pairs(1)))
      c.instances.set(2, refused)
      c.instances.set(12, refused)
      let finish = () => {}
      if (when === 'the failover is recorded')
        c.recordWith = () => new Promise((resolve) => (finish = resolve))
      c.prober.notify(death(2))
      await c.clock.advance(1)
      c.prober.notify(death(12))
      c.recordWith = null
      finish()
      await c.clock.advance(20)
      const acts = c.acts().filter((act) => act !== 'promote 12')
      t.strictSame(
        acts,
        [...failover.slice(0, -1), 'record FTS: double fault detected for content id 0', 'recorded'],
        when,
      )
      t.equal(c.prober.contentState(0)?.health, 'double-fault')
      await c.prober.stop()
    }
  },
)
