/** The report of a run: one HTML file that needs nothing else, with a picture and the evidence. Pure. */
import type { Anomaly } from '../check/anomaly.ts'
import type { WalSample } from '../watch/wal-sampler.ts'
import { jsonScript, Markup, tag, type Content } from './html.ts'
import { summaryLines, type RunSummary } from './summary.ts'
import { renderTimeline } from './timeline.ts'

const style = `
:root { color-scheme: light dark; font: 14px/1.45 system-ui, sans-serif;
  --ground: #fff; --ink: #1f2328; --good: #1a7f37; --bad: #cf222e; --fault: #c2651f; --heal: #4d8fd1; --up: #6cc382;
  --line0: #2f6fbd; --line1: #b35900; --line2: #8250df; --line3: #1a7f37; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #121417; --ink: #e6e8eb; --good: #4ac26b; --bad: #ff7b72; --fault: #f0883e; --heal: #58a6ff; --up: #2c8545;
  --line0: #79b8ff; --line1: #f0a35e; --line2: #c297ff; --line3: #56d364; } }
body { margin: 1.5rem auto; max-width: 1240px; padding: 0 1rem; background: var(--ground); color: var(--ink); }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; } td, th { padding: .15rem .7rem .15rem 0; text-align: left; vertical-align: top; }
th { white-space: nowrap; } td:last-child { min-width: 14rem; }
td.number { text-align: right; } pre { white-space: pre-wrap; }
.timeline { display: block; width: 100%; min-width: 960px; height: auto; font: 12px system-ui, sans-serif; fill: currentColor; }
.small { font-size: 11px; } .tick { stroke: currentColor; opacity: .12; } .anomaly { stroke: var(--bad); stroke-width: 1.5; }
.fault { fill: var(--fault); } .heal { fill: var(--heal); } .up { fill: var(--up); } .down { fill: var(--bad); }
.chart { fill: none; stroke-width: 1.4; stroke-linejoin: round; }
${[0, 1, 2, 3].map((n) => `.line${n} { stroke: var(--line${n}); } .text${n} { fill: var(--line${n}); }`).join(' ')}
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
      tag('meta', { name: 'viewport', content: 'width=device-width' }),
      tag('title', {}, title),
      new Markup(`<style>${style}</style>`),
    ),
    tag(
      'body',
      {},
      tag('h1', { class: anomalies.length === 0 ? 'good' : 'bad' }, title),
      tag('pre', {}, summaryLines(summary).join('\n')),
      wide(renderTimeline(summary, wal)),
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

/** What may be wider than the window: it is moved by itself, not the page with it. */
function wide(content: Markup): Markup {
  return tag('div', { class: 'wide' }, content)
}

function table(heads: readonly string[], rows: readonly (readonly (string | number)[])[]): Markup {
  const drawn = tag(
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
  return wide(drawn)
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
