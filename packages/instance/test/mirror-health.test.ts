import t from 'tap'
import { defaultSettings } from '@mirabelle/messages'
import type { MirrorStatus } from '@mirabelle/wal'
import { mirrorHealth, type HealthInput } from '../src/probe/mirror-health.ts'

const grace = defaultSettings.gp_fts_mark_mirror_down_grace_period
const gone: MirrorStatus = {
  state: 'none',
  dbid: 4,
  attempts: 0,
  connectedSince: null,
  disconnectedAt: 1000,
  flushLsn: 0,
  caughtUp: false,
}

/** A primary that accepts since 1000, without a stream. */
function health(changes: Partial<HealthInput>, mirror: Partial<MirrorStatus> = {}) {
  return mirrorHealth({
    mirror: { ...gone, ...mirror },
    mirrorDbid: 4,
    syncRep: true,
    releasedLsn: 0,
    now: 1000,
    acceptingSince: 1000,
    stalledSince: null,
    settings: defaultSettings,
    ...changes,
  })
}

t.test('a mirror that has just gone may come back within the grace period, not after it', (test) => {
  test.equal(health({ now: 5000 + grace - 1 }, { disconnectedAt: 5000 }).requestRetry, true)
  test.equal(health({ now: 5000 + grace }, { disconnectedAt: 5000 }).requestRetry, false)
  test.end()
})

t.test('a mirror that was never here is given the time that a start takes', (test) => {
  test.equal(health({ now: 1000 + grace + 1 }, { dbid: 0 }).requestRetry, true)
  test.equal(health({ now: 1000 + 20_000 }, { dbid: 0 }).requestRetry, false)
  test.end()
})

t.test('without a mirror in the assignment nobody is waited for', (test) => {
  test.equal(health({ mirrorDbid: null }).requestRetry, false)
  test.end()
})

t.test('a mirror that came and went too often is not waited for', (test) => {
  const attempts = defaultSettings.gp_fts_replication_attempt_count + 1
  test.equal(health({ now: 5001 }, { disconnectedAt: 5000, attempts }).requestRetry, false)
  test.end()
})

t.test(
  'a mirror that streams but takes in nothing is not up, and is waited for as one that has gone',
  (test) => {
    const mirror = { state: 'streaming', disconnectedAt: 90_000, flushLsn: 100 } as const
    test.match(health({ now: 90_000 }, mirror), { isMirrorUp: true, isInSync: true, readyForSyncRep: true })
    const stalled = (forMs: number) => health({ now: 90_000 + forMs, stalledSince: 90_000 }, mirror)
    const down = { isMirrorUp: false, isInSync: false, readyForSyncRep: false }
    test.match(stalled(grace - 1), { ...down, requestRetry: true })
    test.match(stalled(grace), { ...down, requestRetry: false })
    test.end()
  },
)
