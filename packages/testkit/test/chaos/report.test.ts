// Figures and the report: computed from a history, well-formed, and with everything in it that it is for.
import t from 'tap'
import {
  acksByContent,
  availability,
  episodesOf,
  errorsOf,
  faultsOf,
  latencies,
} from '../../src/chaos/report/figures.ts'
import { escapeText, jsonScript, tag } from '../../src/chaos/report/html.ts'
import { renderReport } from '../../src/chaos/report/report.ts'
import { summarize, summaryLines } from '../../src/chaos/report/summary.ts'
import type { Op } from '../../src/chaos/history/op.ts'
import type { WalSample } from '../../src/chaos/watch/wal-sampler.ts'
import { elementsOf } from '../support/well-formed.ts'

/** Content 0 is hit from 1 s to 2 s and answers nothing from 1.05 s to 1.85 s; content 1 answers all the time. */
function recorded(): Op[] {
  const ops: Omit<Op, 'index'>[] = []
  const nemesis = { process: 'nemesis' as const, workload: 'nemesis' as const }
  const both = [0, 1]
  for (let timeMs = 50; timeMs < 3_000; timeMs += 100) {
    for (const content of both) {
      if (content === 0 && timeMs > 1_050 && timeMs < 1_850) continue
      const common = {
        process: content,
        workload: 'set' as const,
        f: 'add',
        value: [timeMs],
        contents: [content],
      }
      ops.push({ ...common, type: 'invoke', timeMs: timeMs - 10 }, { ...common, type: 'ok', timeMs })
    }
  }
  const two = { process: 7, workload: 'append' as const, f: 'txn', value: [], contents: both }
  ops.push({ ...two, type: 'invoke', timeMs: 1_100 })
  ops.push({ ...two, type: 'ok', timeMs: 1_500 }, { ...two, type: 'invoke', timeMs: 1_501 })
  ops.push({ ...two, type: 'info', timeMs: 1_600, error: '57P01 content 0 <is> "unavailable" & more' })
  ops.push({ ...nemesis, type: 'invoke', f: 'kill-primary', value: null, timeMs: 1_000 })
  ops.push({
    ...nemesis,
    type: 'info',
    f: 'kill-primary',
    value: 'SIGKILL to dbid 2',
    contents: [0],
    timeMs: 1_001,
  })
  ops.push({ ...nemesis, type: 'invoke', f: 'heal', value: null, timeMs: 1_900 })
  ops.push({ ...nemesis, type: 'info', f: 'heal', value: 'recover dbid 2: done', timeMs: 2_000 })
  return ops.sort((a, b) => a.timeMs - b.timeMs).map((op, index) => ({ index, ...op }))
}

const ops = recorded()
const sample = { state: 'primary', timeline: 1, rssBytes: 200e6, role: 'p' as const }
const wal: WalSample[] = [0, 1_000, 2_000, 8_000].flatMap((timeMs) => [
  { ...sample, timeMs, dbid: 2, content: 0, flushLsn: 0x800000 + timeMs },
  { ...sample, timeMs, dbid: 4, content: 0, flushLsn: 0x800000 + timeMs / 2 },
])
const anomaly = {
  workload: 'append' as const,
  kind: 'G1c',
  summary: 'T1 before T2 before T1 <&>',
  story: ['T1 "saw" T2', 'T2 saw T1'],
  timesMs: [1_500, Infinity],
}
const facts = {
  seed: 42,
  minutes: 0.05,
  contents: 2,
  ops,
  wal,
  verdicts: [
    { workload: 'append' as const, anomalies: [anomaly], undecided: [], counts: { ok: 1, fail: 0, info: 1 } },
  ],
  anomalies: [anomaly],
  faultsEndMs: 3_000,
}

t.test(
  'availability counts 100 ms in which a content by itself answered, and finds its longest gap',
  async (t) => {
    const acks = acksByContent(ops, 2)
    const [first, second] = acks.map((times, content) => availability(times, content, 3_000))
    t.equal(second?.share, 1)
    t.equal(first?.buckets.filter((is) => !is).length, 7)
    t.same(first?.longestGap, { fromMs: 1_050, ms: 800 })
    t.equal(availability([], 0, 500).longestGap.ms, 500, 'nothing at all is one gap')
  },
)

t.test('an episode goes from the first fault to the end of the healing, and knows who was hit', async (t) => {
  const [episode, ...more] = episodesOf(faultsOf(ops), acksByContent(ops, 2), 3_000)
  t.same(more, [])
  t.equal(episode?.toMs, 2_000)
  t.same(episode?.faults, ['SIGKILL to dbid 2'])
  t.same(
    episode?.contents.map(({ isHit, longestGapMs }) => [isHit, longestGapMs]),
    [
      [true, 800],
      [false, 100],
    ],
  )
  const unhealed = episodesOf(faultsOf(ops.filter(({ f }) => f !== 'heal')), acksByContent(ops, 2), 3_000)
  t.equal(unhealed[0]?.toMs, 3_000, 'without healing it goes to the end')
})

t.test('latency is of what was acknowledged; errors are counted without their numbers', async (t) => {
  const points = latencies(ops)
  t.equal(
    points.reduce((sum, { count }) => sum + count, 0),
    ops.filter(({ type }) => type === 'ok').length,
  )
  t.equal(Math.max(...points.map(({ p99Ms }) => p99Ms)), 400)
  t.same(errorsOf(ops), [{ type: 'info', error: 'NPN content N <is> "unavailable" & more', count: 1 }])
})

t.test('the report is well-formed, stands alone and has all of it', async (t) => {
  const summary = summarize(facts)
  const page = renderReport(summary, wal)
  const elements = elementsOf(page)
  t.equal(elements.filter((name) => name === 'svg').length, 1)
  t.ok(elements.filter((name) => name === 'rect').length >= 5, 'faults, and availability of both contents')
  t.ok(elements.filter((name) => name === 'polyline').length >= 3 + 4, 'answers, latency, WAL in pieces')
  t.equal(elements.filter((name) => name === 'details').length, 1)
  for (const part of [
    'kill-primary',
    'SIGKILL to dbid 2',
    'T2 saw T1',
    'recover dbid 2: done',
    'WAL 0, KB',
    'dbid 4',
  ])
    t.ok(page.includes(part), part)
  t.match(page, 'T1 before T2 before T1 &lt;&amp;&gt;')
  t.match(page, /class="anomaly"/)
  t.notMatch(page, /\b(src|href)=/, 'nothing is loaded')
  const data = /<script type="application\/json" id="summary">(.*?)<\/script>/s.exec(page)?.[1]
  t.same(JSON.parse(data ?? ''), JSON.parse(JSON.stringify(summary)), 'the data is in it for programs')
})

t.test('a run in which nothing happened has a report, too', async (t) => {
  const empty = summarize({ ...facts, ops: [], wal: [], verdicts: [], anomalies: [], faultsEndMs: 0 })
  t.doesNotThrow(() => elementsOf(renderReport(empty, [])))
  t.match(renderReport(empty, []), 'no anomaly')
})

t.test('the summary says what was found in a few lines', async (t) => {
  t.same(summaryLines(summarize(facts)), [
    'append   1 ok, 0 refused, 1 unknown: 1 anomalies',
    'content 0: available in 76.7 % of all 100 ms, longest gap 800 ms at 1.1 s',
    'content 1: available in 100.0 % of all 100 ms, longest gap 100 ms at 0.1 s',
    'longest gap of a content that no fault had hit: 100 ms',
    'seed 42: 1 faults, 1 anomalies',
  ])
})

t.test('text is escaped wherever it comes in, and the check would notice if not', async (t) => {
  t.equal(escapeText('a<b>&"\u0000'), 'a&lt;b&gt;&amp;&quot;\ufffd')
  t.equal(
    tag('p', { title: '"<' }, '<&', [1.234, tag('br')]).text,
    '<p title="&quot;&lt;">&lt;&amp;1.23<br/></p>',
  )
  t.same(JSON.parse(jsonScript('x', { a: '</script>&' }).text.replace(/<[^>]*>/g, '')), { a: '</script>&' })
  for (const bad of ['<p>', '</p>', '<p><b></p></b>', 'a < b', 'a & b', '<p a=b></p>'])
    t.throws(() => elementsOf(bad), bad)
})
