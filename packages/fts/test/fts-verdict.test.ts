import t from 'tap'
import type { Mode, Status } from '@mirabelle/messages'
import { judge, recoveryAfter, type Verdict } from '../src/fts-verdict.ts'
import type { FtsReply } from '../src/index.ts'
import { reply, row } from './fake-cluster.ts'

const up = { isMirrorUp: true }
const waits = { isSyncRepEnabled: true }
const synced = { ...up, isInSync: true, ...waits }

/** mode of both rows, status of the mirror, answer, verdict, verdict when the mirror's death is certain */
const table: [Mode, Status, Partial<FtsReply>, Verdict, Verdict?][] = [
  ['s', 'u', synced, 'agrees'],
  ['n', 'u', synced, 'mirror-in-sync', 'agrees'],
  ['n', 'd', synced, 'mirror-in-sync', 'agrees'],
  ['n', 'd', { ...up, isInSync: true }, 'mirror-back', 'agrees'],
  ['n', 'u', { ...up, isInSync: true }, 'agrees'],
  ['n', 'd', up, 'mirror-back', 'agrees'],
  ['n', 'u', up, 'agrees'],
  ['n', 'u', { ...up, ...waits }, 'agrees'],
  ['s', 'u', { ...up, ...waits }, 'mirror-catching-up'],
  ['s', 'u', up, 'mirror-not-waited-for'],
  ['s', 'u', { ...up, isInSync: true }, 'mirror-not-waited-for'],
  ['s', 'u', { ...waits, requestRetry: true }, 'mirror-in-grace', 'mirror-down'],
  ['n', 'u', { requestRetry: true }, 'mirror-in-grace', 'mirror-down'],
  ['s', 'u', waits, 'mirror-down'],
  ['n', 'u', {}, 'mirror-down'],
  ['n', 'd', {}, 'agrees'],
  ['n', 'd', { requestRetry: true }, 'agrees'],
  ['n', 'd', waits, 'syncrep-off-was-lost'],
  ['n', 'd', { ...waits, requestRetry: true }, 'syncrep-off-was-lost'],
  ['s', 'u', { isRoleMirror: true }, 'promote-was-lost'],
  ['n', 'd', { isRoleMirror: true, recovering: true }, 'promote-was-lost'],
]

for (const [mode, status, answer, verdict, whenDead = verdict] of table) {
  const mirror = row({ dbid: 12, content: 0, role: 'm', mode, status })
  const evidence = {
    pair: { primary: row({ dbid: 2, content: 0, mode }), mirror },
    recovery: null,
    recoveryStallMs: 1,
  }
  t.test(`catalog ${mode},${status} and ${JSON.stringify(answer)}: ${verdict}`, (t) => {
    t.equal(judge({ ...evidence, mirrorDead: false }, reply(answer), 0), verdict)
    t.equal(
      judge({ ...evidence, mirrorDead: true }, reply(answer), 0),
      whenDead,
      'when the mirror is certainly dead',
    )
    t.end()
  })
}

t.test('without mirror an answer is all that is wanted, unless it waits for one that was taken away', (t) => {
  const pair = { primary: row({ dbid: 2, content: 0, mode: 'n' }), mirror: null }
  const evidence = { pair, mirrorDead: false, recovery: null, recoveryStallMs: 1 }
  for (const answer of [{}, up, { requestRetry: true }]) t.equal(judge(evidence, reply(answer), 0), 'agrees')
  for (const answer of [synced, waits]) t.equal(judge(evidence, reply(answer), 0), 'syncrep-off-was-lost')
  t.end()
})

t.test('a recovery advances, rests for a while, or stands still', (t) => {
  const pair = { primary: row({ dbid: 2, content: 0 }), mirror: null }
  const at = (replayLsn: number) => reply({ recovering: true, replayLsn })
  const first = recoveryAfter(null, at(100), 1_000)
  t.strictSame(first, { bestLsn: 100, sinceMs: 1_000 })
  const evidence = { pair, mirrorDead: false, recovery: first, recoveryStallMs: 500 }
  t.equal(judge(evidence, at(101), 9_000), 'recovering', 'it advanced')
  t.equal(judge(evidence, at(100), 1_499), 'recovering', 'it rests')
  t.equal(judge(evidence, at(100), 1_500), 'recovery-stalled')
  t.equal(
    judge(evidence, at(99), 1_500),
    'recovery-stalled',
    'it began anew: rolling crashes are no progress',
  )
  t.strictSame(recoveryAfter(first, at(90), 2_000), first, 'the best is remembered')
  t.strictSame(recoveryAfter(first, at(110), 2_000), { bestLsn: 110, sinceMs: 2_000 })
  t.equal(recoveryAfter(first, reply(), 2_000), null, 'it is over')
  t.end()
})
