import t, { type Test } from 'tap'
import { MirabelleError, type MessageOf } from '@mirabelle/messages'
import { realClock, realDisk, type Hello } from '@mirabelle/runtime'
import { DurableState } from '../src/index.ts'
import { makeOne, noMirror, until } from './support/one-instance.ts'

const who = { dbid: 2, content: 0, epoch: 1 }
const probe = { type: 'fts.probe', ...who, mirror: 3 } as const
const promote = { type: 'segment.promote', ...who } as const
const syncRepOff = { type: 'segment.syncRepOff', ...who } as const
const asProbed = (message: unknown) => message as MessageOf<'fts.probed'>

/** A primary that is to be started on a folder which an earlier process has used as mirror. */
async function onFolderOfMirror(t: Test) {
  const first = await makeOne(t.teardown, { role: 'm' })
  await first.instance.start()
  await first.instance.stop('immediate')
  return makeOne(t.teardown, { role: 'p', base: first.base })
}

t.test(
  'a primary turns synchronous replication on within the probe that finds its mirror streaming, durably first',
  async (t) => {
    const one = await makeOne(t.teardown)
    await one.instance.start()
    const alone = asProbed(await one.ask(probe))
    t.match(alone, {
      isMirrorUp: false,
      isInSync: false,
      isSyncRepEnabled: false,
      isRoleMirror: false,
      requestRetry: true,
    })
    one.wal.status = { ...noMirror, state: 'streaming', dbid: 3, flushLsn: 1000 }
    one.journal.length = 0
    const inSync = asProbed(await one.ask(probe))
    t.match(inSync, { isMirrorUp: true, isInSync: true, isSyncRepEnabled: true, requestRetry: false })
    t.same(one.journal, ['write sync-rep.json'])
    t.equal(one.instance.gate?.syncRep, true)
  },
)

t.test('a mirror that lacks anything that was told is not called in sync (I2)', async (t) => {
  const one = await makeOne(t.teardown)
  await one.instance.start()
  await one.instance.gate?.passed(1000)
  one.wal.status = { ...noMirror, state: 'streaming', dbid: 3, flushLsn: 999 }
  t.match(await one.ask(probe), { isMirrorUp: true, isInSync: false, isSyncRepEnabled: true })
  one.wal.status = { ...one.wal.status, flushLsn: 1000 }
  t.match(await one.ask(probe), { isInSync: true })
})

t.test('a stream of another instance is not the mirror of the content', async (t) => {
  const one = await makeOne(t.teardown)
  await one.instance.start()
  one.wal.status = { ...noMirror, state: 'streaming', dbid: 7, flushLsn: 1000 }
  t.match(await one.ask(probe), { isMirrorUp: false, isInSync: false, isSyncRepEnabled: false })
})

t.test('a mirror whose stream stood before it was named is waited for, and not for ever', async (t) => {
  const one = await makeOne(t.teardown, { assignment: { peer: null } })
  await one.instance.start()
  one.wal.status = { ...noMirror, state: 'streaming', dbid: 3, flushLsn: 1000 }
  one.wal.hub?.listeners.onState?.(3, 'streaming', null)
  one.wal.hub?.listeners.onFlushed?.(3, 1000)
  const peer = { dbid: 3, endpoint: { addresses: ['127.0.0.1'], port: 1 } }
  await one.instance.reassign({ ...one.instance.assignment, peer })
  t.match(await one.ask(probe), { isInSync: true, isSyncRepEnabled: true })
  await one.instance.gate?.passed(1000)
  t.equal(one.instance.gate?.waiting, 0, 'neither its stream nor what it has is told a second time')
})

t.test('what is known of the old mirror says nothing of the one that has taken its place (I2)', async (t) => {
  const one = await makeOne(t.teardown)
  await one.instance.start()
  one.wal.status = { ...noMirror, state: 'streaming', dbid: 3, flushLsn: 1000 }
  t.match(await one.ask({ ...probe, mirror: 9 }), {
    isMirrorUp: false,
    isInSync: false,
    isSyncRepEnabled: false,
    requestRetry: false,
  })
  t.match(await one.ask({ ...probe, mirror: null }), { isMirrorUp: false, isInSync: false })
  t.match(await one.ask(probe), { isMirrorUp: true, isInSync: true, isSyncRepEnabled: true })
})

t.test(
  'SYNCREP_OFF is durable before it takes effect, releases who waits, and survives a restart',
  async (t) => {
    const one = await makeOne(t.teardown, { assignment: { syncRep: true } })
    await one.instance.start()
    let told = false
    one.instance.gate?.wait(1000, () => (told = true))
    await new Promise((resolve) => setImmediate(resolve))
    t.equal(told, false, 'a restarted primary waits for its mirror')
    t.match(await one.ask(syncRepOff), { isSyncRepEnabled: false })
    t.equal(told, true)
    await one.instance.stop('immediate')
    const again = await DurableState.open(realDisk, `${one.base}/d`)
    t.equal(again.syncRep, false)
  },
)

t.test('retry is asked for within the grace period only, and not after too many attempts', async (t) => {
  const grace = { gp_fts_mark_mirror_down_grace_period: '200ms', gp_fts_replication_attempt_count: '3' }
  const one = await makeOne(t.teardown, { assignment: { settings: grace } })
  await one.instance.start()
  // It was here and has gone; one that never was is given longer, see mirror-health.test.ts.
  one.wal.status = { ...noMirror, dbid: 3, disconnectedAt: realClock.monotonic() }
  t.equal(asProbed(await one.ask(probe)).requestRetry, true)
  one.wal.status = { ...one.wal.status, attempts: 4 }
  t.equal(asProbed(await one.ask(probe)).requestRetry, false)
  one.wal.status = { ...one.wal.status, attempts: 0 }
  await new Promise((resolve) => setTimeout(resolve, 250))
  t.equal(asProbed(await one.ask(probe)).requestRetry, false, 'the grace period is over')
})

t.test('a mirror says that it is one, and nothing more', async (t) => {
  const one = await makeOne(t.teardown, { role: 'm' })
  await one.instance.start()
  t.match(await one.ask(probe), {
    isRoleMirror: true,
    isMirrorUp: false,
    isInSync: false,
    isSyncRepEnabled: false,
    requestRetry: false,
    roleState: 'mirror',
  })
  await t.rejects(one.ask(syncRepOff), { code: 'not.primary' })
})

t.test(
  'while it starts, a probe is answered at once: recovering, and nobody shall mark the mirror down',
  async (t) => {
    const lanes: Hello[] = []
    const one = await makeOne(t.teardown, { hooks: { onDispatch: (_, hello) => lanes.push(hello) } })
    let go: () => void = () => undefined
    one.engine.hold = new Promise((resolve) => (go = resolve))
    const starting = one.instance.start()
    await until(() => one.journal.includes('startPrimary'), 'the engine starts')
    t.match(await one.ask(probe), {
      recovering: true,
      isRoleMirror: false,
      requestRetry: true,
      roleState: 'starting',
    })
    one.accept({ purpose: 'dispatch' })
    t.equal(lanes.length, 1, 'a coordinator is let in: it waits for the moment in which it is primary')
    go()
    await starting
    t.match(await one.ask(probe), { recovering: false })
  },
)

t.test('a mirror lets no coordinator in, not while it starts either', async (t) => {
  const one = await makeOne(t.teardown, { role: 'm' })
  let go: () => void = () => undefined
  one.engine.hold = new Promise((resolve) => (go = resolve))
  const starting = one.instance.start()
  await until(() => one.journal.some((line) => line.startsWith('startMirror')), 'the engine starts')
  t.throws(() => one.accept({ purpose: 'dispatch' }), { code: 'not.ready' })
  go()
  await starting
  t.throws(() => one.accept({ purpose: 'dispatch' }), { code: 'not.primary' })
})

t.test('a disk that fails or hangs fails the probe; a later probe of a healed disk succeeds', async (t) => {
  let how: 'well' | 'fails' | 'hangs' = 'well'
  let release: () => void = () => undefined
  const one = await makeOne(t.teardown, {
    assignment: { settings: { gp_fts_probe_timeout: '1s' } },
    disk: (real) => ({
      ...real,
      open: async (path, mode) => {
        const file = await real.open(path, mode)
        return {
          ...wrap(file),
          sync: async () => {
            if (how === 'fails') throw Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' })
            if (how === 'hangs') await new Promise<void>((resolve) => (release = resolve))
            await file.sync()
          },
        }
      },
    }),
  })
  await one.instance.start()
  t.match(await one.ask(probe), { type: 'fts.probed' })
  how = 'fails'
  await t.rejects(one.ask(probe), { code: 'disk.failed', message: /EIO/ })
  how = 'hangs'
  await t.rejects(one.ask(probe), { code: 'disk.failed', message: /within 800 ms/ })
  await t.rejects(one.ask(probe), { code: 'disk.failed' })
  how = 'well'
  release()
  await until(() => true, 'a turn')
  t.match(await one.ask(probe), { type: 'fts.probed' })
})

t.test('a message for another instance is refused by name', async (t) => {
  const one = await makeOne(t.teardown)
  await one.instance.start()
  await t.rejects(one.ask({ ...probe, dbid: 9 }), {
    code: 'wrong.content',
    message: /dbid 9 of content 0.*this is dbid 2/,
  })
  await t.rejects(one.ask({ ...probe, content: 4 }), { code: 'wrong.content' })
})

t.test(
  'a higher epoch is promised durably and older statements end before it is told; a lower one is refused ever after',
  async (t) => {
    const order: string[] = []
    const one = await makeOne(t.teardown, {
      hooks: {
        onEpochRaised: async (epoch) => {
          await new Promise((resolve) => setImmediate(resolve))
          order.push(`older than ${epoch} ended`)
        },
      },
    })
    await one.instance.start()
    one.journal.length = 0
    const promised = await one.ask({ type: 'epoch.promise', ...who, epoch: 5 })
    order.push('told')
    t.match(promised, { type: 'epoch.promised', epoch: 5, isRoleMirror: false, standbyStale: false })
    t.same(one.journal, ['write epoch.json'])
    t.same(order, ['older than 5 ended', 'told'])
    for (const message of [
      probe,
      promote,
      syncRepOff,
      { type: 'epoch.promise', ...who, epoch: 4 } as const,
    ]) {
      await t.rejects(one.ask(message), { code: 'epoch.stale', detail: { epoch: 5 } }, message.type)
    }
    t.throws(() => one.accept({ purpose: 'dispatch', epoch: 4 }), { code: 'epoch.stale' })
    const again = await DurableState.open(realDisk, `${one.base}/d`)
    t.equal(again.epoch, 5)
  },
)

t.test('the mark of a stale standby is durable and comes back with the promise', async (t) => {
  const one = await makeOne(t.teardown, { role: 'm' })
  await one.instance.start()
  t.match(await one.ask({ type: 'standby.mark', epoch: 1, stale: true }), { stale: true })
  t.match(await one.ask({ type: 'epoch.promise', ...who, epoch: 2 }), {
    standbyStale: true,
    isRoleMirror: true,
  })
})

t.test(
  'PROMOTE: receiver first, synchronous replication off before the folder is a primary’s, the answer does not wait, again is harmless',
  async (t) => {
    const one = await makeOne(t.teardown, { role: 'm', assignment: { syncRep: true } })
    await one.instance.start()
    one.journal.length = 0
    t.match(await one.ask(promote), { roleState: 'promoting', recovering: true })
    t.match(await one.ask(promote), { type: 'fts.probed' })
    await until(() => one.instance.roleState === 'primary', 'primary')
    const isSyncRep = (line: string): boolean => line === 'write sync-rep.json'
    t.same(
      one.journal.filter((line) => !isSyncRep(line)),
      ['receiver stopped', 'walArrived 1 1000', 'promote', 'write role.json', 'write assignment.json'],
    )
    t.ok(one.journal.some(isSyncRep))
    t.ok(one.journal.findIndex(isSyncRep) < one.journal.indexOf('write role.json'))
    t.equal(one.instance.gate?.syncRep, false)
    t.equal(one.instance.timeline, 2)
    t.match(await one.ask(promote), { roleState: 'primary' })
    t.equal(one.journal.filter((line) => line === 'promote').length, 1)
    t.same(
      one.instance.settledKnown()?.entries,
      [[5, 900, null]],
      'only what lies before the end of recovery took effect',
    )
  },
)

t.test(
  'a promotion that lacks the end of what was received is refused, whatever PostgreSQL has written since',
  async (t) => {
    const one = await makeOne(t.teardown, { role: 'm' })
    await one.instance.start()
    Object.assign(one.wal.parts, { history: () => Promise.resolve([{ timeline: 1, end: 960 }]) })
    one.engine.lsn = 1200
    one.journal.length = 0
    await one.ask(promote)
    await until(() => one.ended.length > 0, 'ended')
    t.match(one.ended[0]?.error, {
      code: 'wal.corrupt',
      message: /recovery ended at 0\/3C0 although.*up to 0\/3E8/,
    })
    t.ok(one.journal.includes('write copying.json'), 'this base never serves')
    t.notOk(one.journal.includes('write role.json'))
  },
)

t.test(
  'a promotion that a new process of the mirror completes is refused, too, when it lacks the end of what was received',
  async (t) => {
    const second = await onFolderOfMirror(t)
    Object.assign(second.wal.parts, { history: () => Promise.resolve([{ timeline: 1, end: 960 }]) })
    second.engine.lsn = 1200
    await second.instance.start()
    await until(() => second.ended.length > 0, 'ended')
    t.match(second.ended[0]?.error, { code: 'wal.corrupt', message: /recovery ended at 0\/3C0 although/ })
    t.ok(second.journal.includes('write copying.json'), 'this base never serves')
    t.notOk(second.journal.includes('write role.json'))
  },
)

t.test(
  'a promotion that ended before it could write down that it had missed something is not completed',
  async (t) => {
    const second = await onFolderOfMirror(t)
    const end = { timeline: 2, receivedEnd: 1100, history: [], missed: { at: 960, received: 1000 } }
    Object.assign(second.wal.parts, { findEnd: () => Promise.resolve(end) })
    await t.rejects(second.instance.start(), {
      code: 'wal.corrupt',
      message: /recovery ended at 0\/3C0 although/,
    })
    t.ok(second.journal.includes('write copying.json'), 'this base never serves')
    t.notOk(
      second.journal.some((line) => line.startsWith('start')),
      'PostgreSQL is not started',
    )
  },
)

t.test('PROMOTE while a mirror starts is carried out when replay has begun', async (t) => {
  const one = await makeOne(t.teardown, { role: 'm' })
  let go: () => void = () => undefined
  one.engine.hold = new Promise((resolve) => (go = resolve))
  const starting = one.instance.start()
  await until(() => one.journal.includes('startMirror 1'), 'the engine starts')
  t.match(await one.ask(promote), { roleState: 'starting', recovering: true })
  go()
  await starting
  await until(() => one.instance.roleState === 'primary', 'primary')
})

t.test('a folder that is still a mirror’s is promoted when it is started as primary', async (t) => {
  const second = await onFolderOfMirror(t)
  await second.instance.start()
  await until(() => second.instance.roleState === 'primary', 'primary')
  t.ok(second.journal.includes('startMirror 1'))
  t.ok(second.journal.includes('promote'))
  t.notOk(second.journal.includes('startPrimary'))
})

t.test(
  'a new timeline of the primary restarts replay, and WAL that arrives meanwhile is told afterwards',
  async (t) => {
    const one = await makeOne(t.teardown, { role: 'm' })
    await one.instance.start()
    one.journal.length = 0
    one.wal.receiver?.onTimeline?.(2, [{ timeline: 1, end: 1000 }])
    one.wal.receiver?.onFlushed(2, 1300)
    await until(() => one.journal.includes('startMirror 2'), 'replay restarts')
    await until(() => one.journal.includes('walArrived 2 1300'), 'told')
    t.same(one.journal.slice(0, 2), ['stop immediate', 'startMirror 2'])
    t.equal(one.instance.roleState, 'mirror')
    t.equal(one.instance.timeline, 2)
  },
)

const diverged = new MirabelleError('wal.diverged', 'timeline 2 forked at 0/300, we are at 0/400')

t.test(
  'a diverged mirror that may only come back incrementally stays unfit, says what to do, and cannot be promoted',
  async (t) => {
    const one = await makeOne(t.teardown, { role: 'm', assignment: { recovery: 'incremental' } })
    await one.instance.start()
    one.wal.receiver?.onState?.('diverged', diverged)
    t.equal(one.instance.roleState, 'unfit')
    t.match(one.instance.status().detail, /forked at 0\/300.*recover/)
    await t.rejects(one.ask(promote), { code: 'wal.diverged' })
    await until(() => one.journal.includes('stop immediate'), 'replay ends')
  },
)

t.test(
  'a diverged mirror is copied when that is allowed, resumes a copy that was interrupted, and becomes a mirror again',
  async (t) => {
    const calls: string[] = []
    let fail = true
    const one = await makeOne(t.teardown, {
      role: 'm',
      assignment: { recovery: 'auto' },
      hooks: {
        copyFromPeer: (mode, request) => {
          calls.push(`${mode} from ${request.upstream.dbid}`)
          if (fail) {
            fail = false
            return Promise.reject(new MirabelleError('connection.lost', 'the primary went away'))
          }
          request.progress({ bytesDone: 5, bytesTotal: 10, step: 'base/1/2' })
          return Promise.resolve({ timeline: 4, startLsn: 7000, history: [] })
        },
      },
    })
    await realDisk.makeDir(`${one.base}/d/pgdata/global`)
    await realDisk.writeFileDurable(`${one.base}/d/pgdata/global/pg_control`, new Uint8Array(8))
    await one.instance.start()
    one.journal.length = 0
    one.wal.receiver?.onState?.('diverged', diverged)
    t.equal(one.instance.roleState, 'copying')
    await t.rejects(one.ask(promote), { code: 'not.ready' })
    t.equal((await DurableState.open(realDisk, `${one.base}/d`)).role, 'm')
    await until(() => one.instance.roleState === 'mirror', 'mirror')
    t.same(calls, ['differential from 3', 'differential from 3'])
    t.equal(one.wal.receiver?.start.receivedEnd, 7000, 'received from where the copy needs it')
    t.equal(one.wal.receiver?.start.timeline, 4)
    t.same(
      one.journal.filter((line) => line.includes('copying')),
      ['write copying.json', 'write copying.json'],
      'marked before, unmarked after',
    )
  },
)

t.test('a folder with half a copy is never started as primary', async (t) => {
  const one = await makeOne(t.teardown)
  const state = await DurableState.open(realDisk, `${one.base}/d`)
  await state.setCopying('full')
  await t.rejects(one.instance.start(), { code: 'datadir.broken' })
  await until(() => one.ended.length === 1, 'ended')
  t.equal(one.ended[0]?.error?.code, 'datadir.broken')
})

t.test('a foreign folder, or one without identity, is refused by name', async (t) => {
  const foreign = await makeOne(t.teardown, { identity: { content: 4, dbid: 9 } })
  await t.rejects(foreign.instance.start(), {
    code: 'datadir.foreign',
    message: /content 4, dbid 9.*content 0, dbid 2/,
  })
  const other = await makeOne(t.teardown, { identity: { clusterId: 'another' } })
  await t.rejects(other.instance.start(), { code: 'datadir.foreign' })
  const none = await makeOne(t.teardown, { identity: null })
  await t.rejects(none.instance.start(), { code: 'datadir.broken', message: /instance.json is missing/ })
  t.notOk(none.journal.includes('startPrimary'))
})

t.test(
  'a primary that is told that it is a mirror is fenced: nothing is released, nothing accepted',
  async (t) => {
    const one = await makeOne(t.teardown, { assignment: { syncRep: true } })
    await one.instance.start()
    const outcome = one.instance.gate?.passed(1000)
    const assignment = { ...one.instance.assignment, role: 'm' as const }
    await one.ask({ type: 'instance.assign', assignment })
    t.equal(one.instance.roleState, 'fenced')
    await t.rejects(outcome as Promise<void>, { code: 'not.primary' })
    await t.rejects(one.ask(probe), { code: 'not.primary' })
    t.throws(() => one.accept({ purpose: 'dispatch' }), { code: 'not.primary' })
    t.ok(one.journal.includes('hub stopped'))
  },
)

t.test('a coordinator that hears of a higher epoch is fenced and says the sentence', async (t) => {
  const one = await makeOne(t.teardown, { content: -1 })
  await one.instance.start()
  one.accept({ epoch: 2, name: 'segment 3' })
  t.equal(one.instance.roleState, 'fenced')
  t.match(one.instance.reason, /Standby activated, this node no more can act as coordinator/)
})

t.test(
  'when PostgreSQL dies the instance fails once, with the reason, and nothing waits for ever',
  async (t) => {
    const one = await makeOne(t.teardown, { assignment: { syncRep: true } })
    await one.instance.start()
    const outcome = one.instance.gate?.passed(1000)
    one.engine.onDeath(new Error('PANIC: could not write'))
    await t.rejects(outcome as Promise<void>, { code: 'engine.died' })
    await until(() => one.ended.length === 1, 'ended')
    t.match(one.ended[0]?.error?.message, /PANIC/)
    await t.rejects(one.ask(probe), { code: 'engine.died' })
    await one.instance.stop('fast')
    t.equal(one.ended.length, 1)
  },
)

t.test('an engine that does not start fails the instance with its own sentence', async (t) => {
  const one = await makeOne(t.teardown)
  one.engine.fail = new Error('the instance folder is in use by process 4')
  await t.rejects(one.instance.start(), /in use by process 4/)
  await until(() => one.ended.length === 1, 'ended')
  t.match(one.ended[0]?.error?.message, /in use by process 4/)
})

t.test(
  'instance.stop: fast ends PostgreSQL in an orderly way, and the instance ends without an error',
  async (t) => {
    const one = await makeOne(t.teardown)
    await one.instance.start()
    t.same(await one.ask({ type: 'instance.stop', mode: 'fast', epoch: 0 }), { type: 'ok' })
    await until(() => one.ended.length === 1, 'ended')
    t.equal(one.ended[0]?.error, undefined)
    t.equal(one.instance.roleState, 'stopped')
    t.ok(
      one.journal.indexOf('stop fast') < one.journal.indexOf('hub stopped'),
      'the last WAL still goes to the mirror',
    )
  },
)

function wrap<T extends object>(file: T): T {
  return new Proxy(file, {
    get: (target, key) => {
      const value = (target as Record<PropertyKey, unknown>)[key]
      return typeof value === 'function' ? (value as (...args: never[]) => unknown).bind(target) : value
    },
  })
}
