import t from 'tap'
import type { MirabelleError } from '@mirabelle/messages'
import type { MirrorStatus } from '@mirabelle/wal'
import { CommitGate } from '../src/gate/commit-gate.ts'
import { FlushWatch } from '../src/primary/flush-watch.ts'
import { handClock } from '../../runtime/test/support/hand-clock.ts'

function watched() {
  const { clock, advance } = handClock()
  const gate = new CommitGate({ localLsn: 0, syncRep: true, onReleased: () => undefined })
  const ended: MirabelleError[] = []
  const mirror: { status: MirrorStatus } = {
    status: {
      state: 'streaming',
      dbid: 4,
      flushLsn: 100,
      caughtUp: false,
      connectedSince: 0,
      disconnectedAt: null,
      attempts: 0,
    },
  }
  const watch = new FlushWatch({
    clock,
    gate,
    mirror: () => mirror.status,
    timeoutMs: () => 5_000,
    disconnect: (reason) => ended.push(reason),
  })
  t.teardown(() => watch.stop())
  const flushed = (lsn: number): void => {
    mirror.status = { ...mirror.status, flushLsn: lsn }
    gate.mirrorDurable(lsn)
  }
  return { gate, mirror, ended, advance, flushed, watch }
}

void t.test('a mirror that makes nothing durable while an answer waits loses its stream', (t) => {
  const { gate, ended, advance, flushed } = watched()
  flushed(100)
  gate.localDurable(200)
  gate.wait(200, () => undefined)
  advance(4_000)
  t.equal(ended.length, 0, 'not before wal_sender_timeout')
  advance(4_000)
  t.match(ended, [{ code: 'connection.silent', message: /0\/64.*0\/C8/ }])
  t.end()
})

void t.test('a mirror that is slow but advances is left alone', (t) => {
  const { gate, ended, advance, flushed } = watched()
  gate.localDurable(10_000)
  gate.wait(10_000, () => undefined)
  for (let lsn = 200; lsn < 4_000; lsn += 100) {
    flushed(lsn)
    advance(2_000)
  }
  t.same(ended, [])
  t.end()
})

void t.test(
  'nothing is expected of a mirror while nobody waits, or the own disk is what is waited for',
  (t) => {
    const { gate, ended, advance, flushed } = watched()
    flushed(100)
    advance(60_000)
    gate.wait(200, () => undefined)
    advance(60_000)
    t.same(ended, [], 'WAL up to 200 is not durable here either')
    gate.setSyncRep(false)
    gate.localDurable(300)
    advance(60_000)
    t.same(ended, [])
    t.end()
  },
)

void t.test('after its end the watch ends no stream', (t) => {
  const { gate, ended, advance, flushed, watch } = watched()
  flushed(100)
  gate.localDurable(200)
  gate.wait(200, () => undefined)
  watch.stop()
  advance(60_000)
  t.same(ended, [])
  t.end()
})

void t.test(
  'a mirror that comes back and takes in nothing stays stalled since the first time, until it advances',
  (t) => {
    const { gate, ended, advance, flushed, watch, mirror } = watched()
    flushed(100)
    gate.localDurable(200)
    gate.wait(200, () => undefined)
    t.equal(watch.stalledSince, null)
    advance(20_000)
    t.ok(ended.length > 1)
    const since = watch.stalledSince
    t.ok(since !== null && since < 8_000, String(since))
    flushed(0)
    flushed(100)
    t.equal(watch.stalledSince, since, 'it has connected again')
    flushed(101)
    t.equal(watch.stalledSince, null, 'it advances')
    flushed(100)
    advance(20_000)
    t.type(watch.stalledSince, 'number')
    mirror.status = { ...mirror.status, dbid: 7 }
    t.equal(watch.stalledSince, null, 'another mirror')
    t.end()
  },
)
