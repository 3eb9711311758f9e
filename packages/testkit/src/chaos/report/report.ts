/** The report of a run: one HTML file that needs nothing else, with a picture and the evidence. Pure. */
import type { Anomaly } from '../check/anomaly.ts'
import type { WalSample } from '../watch/wal-sampler.ts'
import { jsonScript, Markup, tag, type Content } from './html.ts'
import { summaryLines, type RunSummary } from './summary.ts'
import { renderTimeline } from './timeline.ts'

const style = `
:root { color-scheme: light dark; font: 14px/1.45 system-ui, sans-serif; }
body { margin: 1.5rem auto; max-width: 1240px; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.good { color: #1a7f37; } .bad { color: #cf222e; }
table { border-collapse: collapse; } td, th { padding: .15rem .7rem .15rem 0; text-align: left; vertical-align: top; }
td.number { text-align: right; } pre { white-space: pre-wrap; }
.timeline { width: 100%; height: auto; font: 11px system-ui, sans-serif; fill: currentColor; }
.small { font-size: 9px; opacity: .75; } .tick { stroke: currentColor; opacity: .12; } .anomaly { stroke: #cf222e; stroke-width: 1.5; }
.fault { fill: #d4752a; } .heal { fill: #4d8fd1; } .up { fill: #2da44e; opacity: .55; } .down { fill: #cf222e; }
.chart { fill: none; stroke-width: 1.2; } .line0 { stroke: #2f6fbd; } .line1 { stroke: #d4752a; } .line2 { stroke: #8250df; } .line3 { stroke: #1a7f37; }
.text0 { fill: #2f6fbd; } .text1 { fill: #d4752a; } .text2 { fill: #8250df; } .text3 { fill: #1a7f37; }
`

export function renderReport(summary: RunSummary, wal: readonly WalSample[]): string {
  const { anomalies, seed } = summary
  const title = `Chaos run, seed ${seed}: ${anomalies.length === 0 ? 'no anomaly' : `${anomalies.length} anomalies`}`
  const page = tag(
    'html',
    { xmlns: 'http://www.w3.org/1999/xhtml', lang: 'en' },
    tag(
      'head',
      {},
      tag('meta', { charset: 'utf-8' }),
      tag('title', {}, title),
      new Markup(`<style>${style}</style>`),
    ),
    tag(
      'body',
      {},
      tag('h1', { class: anomalies.length === 0 ? 'good' : 'bad' }, title),
      tag('pre', {}, summaryLines(summary).join('\n')),
      renderTimeline(summary, wal),
      anomalySection(anomalies),
      faultSection(summary),
      episodeSection(summary),
      errorSection(summary),
      jsonScript('summary', summary),
    ),
  )
  return `<!DOCTYPE html>\n${page.text}\n`
}

function anomalySection(anomalies: readonly Anomaly[]): Content {
  if (anomalies.length === 0) return []
  return [
    tag('h2', {}, 'Anomalies'),
    ...anomalies.map(({ workload, kind, summary, story }) =>
      tag(
        'details',
        { open: 'open' },
        tag('summary', { class: 'bad' }, `${workload}: ${kind}: ${summary}`),
        tag('pre', {}, story.join('\n')),
      ),
    ),
  ]
}

function table(heads: readonly string[], rows: readonly (readonly (string | number)[])[]): Markup {
  return tag(
    'table',
    {},
    tag('thead', {}, tag('tr', {}, ...heads.map((head) => tag('th', {}, head)))),
    tag(
      'tbody',
      {},
      ...rows.map((row) =>
        tag(
          'tr',
          {},
          ...row.map((cell) => tag('td', typeof cell === 'number' ? { class: 'number' } : {}, cell)),
        ),
      ),
    ),
  )
}

function faultSection({ faults }: RunSummary): Content {
  const rows = faults.map(({ fromMs, toMs, name, what, contents }) => {
    return [(fromMs / 1000).toFixed(1), (toMs / 1000).toFixed(1), name, contents.join(', '), what]
  })
  return [tag('h2', {}, 'Faults'), table(['from, s', 'to, s', 'fault', 'contents', 'what'], rows)]
}

function episodeSection({ episodes, contents }: RunSummary): Content {
  const heads = [
    'from, s',
    'to, s',
    ...Array.from({ length: contents }, (_, content) => `content ${content}`),
  ]
  const rows = episodes.map(({ fromMs, toMs, contents: all }) => [
    (fromMs / 1000).toFixed(1),
    (toMs / 1000).toFixed(1),
    ...all.map(({ isHit, longestGapMs }) => `${Math.round(longestGapMs)}${isHit ? ' (hit)' : ''}`),
  ])
  return [tag('h2', {}, 'Longest time without an acknowledgement in each round, ms'), table(heads, rows)]
}

function errorSection({ errors }: RunSummary): Content {
  const rows = errors.map(({ type, error, count }) => [count, type, error])
  return [tag('h2', {}, 'What clients were told'), table(['times', 'outcome', 'error'], rows)]
}
