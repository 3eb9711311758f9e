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
import { recordedRun } from '../support/recorded-run.ts'
import { elementsOf } from '../support/well-formed.ts'

const { ops, wal, facts } = recordedRun()

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
