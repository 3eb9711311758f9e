/** What `state` says of each abnormal state, and that it says nothing of a good one. */
import t from 'tap'
import type { InstanceStateRow, ReplicationRow } from '@mirabelle/messages'
import { problemsOf, type ProblemSources } from '../src/ha/problems.ts'

const MB = 2 ** 20
const stream = (more: Partial<ReplicationRow> = {}): ReplicationRow => ({
  pid: 9,
  dbid: 3,
  clientAddr: '127.0.0.1',
  clientPort: 1,
  backendStart: 0,
  state: 'streaming',
  sentLsn: 900 * MB,
  writeLsn: 900 * MB,
  flushLsn: 900 * MB,
  replayLsn: 900 * MB,
  writeLagMs: null,
  flushLagMs: null,
  replayLagMs: null,
  syncState: 'sync',
  replyTime: 0,
  ...more,
})
const row = (dbid: number, content: number, role: 'p' | 'm', more: Partial<InstanceStateRow> = {}) =>
  ({
    dbid,
    content,
    role,
    preferred_role: role,
    mode: 's',
    status: 'u',
    host: 'h',
    port: 7000 + dbid,
    pid: 100 + dbid,
    state: role === 'p' ? 'primary' : 'mirror',
    detail: '',
    datadir: `/d${dbid}`,
    disk_free: 100 * MB,
    sync_rep: role === 'p' ? true : null,
    replication: role === 'p' ? stream() : null,
    ...more,
  }) as InstanceStateRow

const good = [row(1, -1, 'p'), row(6, -1, 'm'), row(2, 0, 'p'), row(3, 0, 'm')]
/** The good cluster with one instance in another state. */
function problems(
  dbid: number,
  more: Partial<InstanceStateRow>,
  sources: Partial<ProblemSources> = {},
): string[] {
  const instances = good.map((one) => (one.dbid === dbid ? { ...one, ...more } : one))
  return problemsOf({
    instances,
    standby: 'streaming',
    advice: [[0, '']],
    inDoubt: [],
    silentAgents: [],
    ...sources,
  })
}

t.test('a good cluster has none', async (t) => {
  t.same(problems(0, {}), [])
  t.same(
    problemsOf({ instances: [row(1, -1, 'p')], standby: 'none', advice: [], inDoubt: [], silentAgents: [] }),
    [],
  )
})

t.test('a mirror in sync whose PostgreSQL still starts protects its pair: that is no problem', async (t) => {
  t.same(problems(3, { state: 'starting', uptime_s: 1 }), [])
})

t.test('each abnormal state of an instance is one sentence with what mends it', async (t) => {
  const cases: [number, Partial<InstanceStateRow>, RegExp][] = [
    [2, { pid: null, state: null }, /^dbid 2 \(content 0, h:7002\) does not answer: run "mirabelle start"$/],
    [
      3,
      { disk_free: 3 * MB },
      /dbid 3 \(content 0, h:7003\) has 3 MB left on the disk of \/d3: make room there/,
    ],
    [
      3,
      { status: 'd', detail: 'the disk of /d3/wal is full' },
      /dbid 3 .* is marked down \(the disk of \/d3\/wal is full\): run "mirabelle recover"/,
    ],
    [
      3,
      { pid: null, state: null, detail: 'disk full' },
      /dbid 3 .* \(it ended: disk full\): run "mirabelle start"/,
    ],
    [
      3,
      { status: 'd', mode: 'n', pid: null, state: null, detail: 'locked' },
      /marked down \(it ended: locked\): run "mirabelle recover"/,
    ],
    [
      3,
      { state: 'unfit', detail: 'its WAL diverged' },
      /cannot follow its primary: its WAL diverged; run "mirabelle recover --differential"/,
    ],
    [3, { state: 'copying', detail: '40 of 400 MB' }, /is being copied: 40 of 400 MB; it goes on by itself/],
    [2, { state: 'starting', uptime_s: 1 }, /should be primary and is starting/],
    [3, { state: 'starting', uptime_s: 61 }, /should be mirror and is starting/],
    [3, { state: 'starting', uptime_s: 1, mode: 'n' }, /should be mirror and is starting/],
    [2, { state: 'fenced' }, /was replaced and serves no more; run "mirabelle recover"/],
    [2, { state: 'promoting' }, /should be primary and is promoting; .*"mirabelle fts-probe"/],
    [2, { state: 'failed', detail: 'disk' }, /has failed: disk; run "mirabelle start"/],
    [2, { preferred_role: 'm' }, /dbid 2 .* preferred as mirror: run "mirabelle rebalance"/],
    [
      2,
      { mode: 'n', replication: stream({ state: 'catchup', flushLsn: 880 * MB }) },
      /content 0 is not in sync yet: its mirror is catching up, 20 MB behind$/,
    ],
    [2, { mode: 'n', replication: null }, /content 0 is not in sync yet: its mirror is catching up$/],
    [
      2,
      { sync_rep: false },
      /content 0 is in sync, but its commits do not wait for the mirror: run "mirabelle fts-probe"/,
    ],
    [
      2,
      { replication: stream({ replayLsn: 500 * MB }) },
      /the mirror dbid 3 of content 0 has 400 MB of WAL to replay/,
    ],
    [
      1,
      { replication: stream({ replayLsn: 500 * MB }) },
      /the standby coordinator dbid 6 has 400 MB of WAL to replay/,
    ],
  ]
  for (const [dbid, more, sentence] of cases) {
    const found = problems(dbid, more)
    t.equal(found.length, 1, found.join(' | '))
    t.match(found[0], sentence)
  }
})

t.test('a mirror that replays a little later is none', async (t) => {
  t.same(problems(2, { replication: stream({ replayLsn: 890 * MB, flushLsn: 899 * MB }) }), [])
})

t.test('what concerns more than one instance is said, too', async (t) => {
  t.match(problems(6, { pid: null, state: null, detail: 'killed' }, { standby: 'down' }), [
    /the standby coordinator is not streaming \(it ended: killed\): run "mirabelle standby resync"/,
  ])
  const lag = { replication: stream({ state: 'catchup', flushLsn: 0, sentLsn: 3 * MB }) } as const
  t.match(problems(1, lag, { standby: 'catchup' }), [/catching up, 3 MB behind: commits do not wait for it/])
  t.match(problems(0, {}, { silentAgents: ['far'] }), [
    /the agent of far does not answer: .*"mirabelle start"/,
  ])
  t.match(problems(0, {}, { inDoubt: ['mb_1'] }), [
    /1 distributed transaction.* in doubt .* mb_1; run "mirabelle start"/,
  ])
  t.same(problems(0, {}, { advice: [[0, 'both copies are down']] }), ['content 0: both copies are down'])
})
