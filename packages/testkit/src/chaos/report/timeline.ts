/** The picture of a run: faults, availability of each content, answers and latency, WAL positions, on one axis of time. Pure. */
import type { WalSample } from '../watch/wal-sampler.ts'
import { BUCKET_MS, type Availability } from './figures.ts'
import { tag, type Content, type Markup } from './html.ts'
import type { RunSummary } from './summary.ts'

const LEFT = 160
const WIDTH = 1_010
/** Letters of a label that there is room for. */
const MOST_LETTERS = 24
const ROW = 18
const CHART = 110
const GAP = 26

interface Scale {
  readonly x: (ms: number) => number
  readonly endMs: number
}

/** A band of the picture: what it shows from `top` on, and how high it is. */
interface Band {
  readonly height: number
  readonly draw: (top: number) => Content
}

export function renderTimeline(summary: RunSummary, wal: readonly WalSample[]): Markup {
  const endMs = Math.max(1, summary.endMs)
  const scale: Scale = { endMs, x: (ms) => LEFT + (Math.min(ms, endMs) / endMs) * WIDTH }
  const contents = [...new Set(wal.map(({ content }) => content))].sort((a, b) => a - b)
  const bands: Band[] = [
    faultBand(summary, scale),
    ...summary.availability.map((one) => availabilityBand(one, scale)),
    chartBand('answers / s', scale, [
      { name: 'answers', points: summary.latencies.map(({ timeMs, count }) => [timeMs, count] as const) },
    ]),
    chartBand('latency, ms', scale, [
      {
        name: 'median',
        points: summary.latencies.map(({ timeMs, medianMs }) => [timeMs, medianMs] as const),
      },
      { name: '99 %', points: summary.latencies.map(({ timeMs, p99Ms }) => [timeMs, p99Ms] as const) },
    ]),
    ...contents.map((content) => walBand(content, wal, scale)),
  ]
  let top = 24
  const drawn = bands.map(({ height, draw }) => {
    const content = draw(top)
    top += height + GAP
    return content
  })
  const marks = summary.anomalies.flatMap(({ timesMs, kind }) =>
    timesMs.filter(Number.isFinite).map((ms) => verticalLine(scale.x(ms), top, 'anomaly', kind)),
  )
  const size = { viewBox: `0 0 ${LEFT + WIDTH + 20} ${top}`, role: 'img', class: 'timeline' }
  return tag('svg', { xmlns: 'http://www.w3.org/2000/svg', ...size }, axis(scale, top), ...drawn, ...marks)
}

function axis({ x, endMs }: Scale, bottom: number): Content {
  const steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600]
  const every = (steps.find((step) => endMs / 1000 / step <= 20) ?? 1_200) * 1000
  const ticks = Array.from({ length: Math.floor(endMs / every) + 1 }, (_, i) => i * every)
  return ticks.map((ms) => [
    verticalLine(x(ms), bottom, 'tick'),
    tag('text', { x: x(ms), y: 12, class: 'small', 'text-anchor': 'middle' }, `${ms / 1000} s`),
  ])
}

function verticalLine(x: number, bottom: number, name: string, title?: string): Markup {
  return tag(
    'line',
    { x1: x, x2: x, y1: 16, y2: bottom, class: name },
    title === undefined ? [] : tag('title', {}, title),
  )
}

function label(text: string, y: number): Markup {
  const shown = text.length > MOST_LETTERS ? `${text.slice(0, MOST_LETTERS - 1)}…` : text
  return tag('text', { x: LEFT - 8, y, 'text-anchor': 'end' }, shown)
}

/** A row for each kind of fault that was done. */
function faultBand({ faults }: RunSummary, { x }: Scale): Band {
  const done = faults.filter(({ name }) => !name.endsWith('-ended'))
  const names = [...new Set(done.map(({ name }) => name))]
  return {
    height: names.length * ROW,
    draw: (top) =>
      names.map((name, row) => [
        label(name, top + row * ROW + 12),
        ...done
          .filter((fault) => fault.name === name)
          .map(({ fromMs, toMs, what }) =>
            tag(
              'rect',
              {
                x: x(fromMs),
                y: top + row * ROW + 2,
                width: Math.max(3, x(toMs) - x(fromMs)),
                height: ROW - 5,
                class: name === 'heal' ? 'heal' : 'fault',
              },
              tag('title', {}, what),
            ),
          ),
      ]),
  }
}

function availabilityBand({ content, buckets, share }: Availability, { x }: Scale): Band {
  return {
    height: ROW,
    draw: (top) => [
      label(`content ${content}`, top + 12),
      runs(buckets).map(({ from, to, is }) =>
        tag(
          'rect',
          {
            x: x(from * BUCKET_MS),
            y: top,
            width: x(to * BUCKET_MS) - x(from * BUCKET_MS),
            height: ROW - 3,
            class: is ? 'up' : 'down',
          },
          tag(
            'title',
            {},
            `${is ? 'answers' : 'no answer'} for ${(to - from) * BUCKET_MS} ms (${(share * 100).toFixed(1)} %)`,
          ),
        ),
      ),
    ],
  }
}

/** Equal neighbours as one. */
function runs(buckets: readonly boolean[]): { from: number; to: number; is: boolean }[] {
  const all: { from: number; to: number; is: boolean }[] = []
  buckets.forEach((is, place) => {
    const last = all.at(-1)
    if (last?.is === is) last.to = place + 1
    else all.push({ from: place, to: place + 1, is })
  })
  return all
}

interface Line {
  readonly name: string
  readonly points: readonly (readonly [timeMs: number, value: number])[]
}

function chartBand(
  title: string,
  scale: Scale,
  lines: readonly Line[],
  format = (value: number) => value.toFixed(0),
): Band {
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value))
  const least =
    values.length === 0
      ? 0
      : Math.min(
          ...values.slice(0, 1),
          values.reduce((a, b) => Math.min(a, b)),
        )
  const low = title.startsWith('WAL') ? least : 0
  const high = values.reduce((a, b) => Math.max(a, b), low + 1)
  const y = (value: number, top: number): number => top + CHART - ((value - low) / (high - low)) * CHART
  return {
    height: CHART,
    draw: (top) => [
      label(title, top + 12),
      tag('text', { x: LEFT - 8, y: top + 28, class: 'small', 'text-anchor': 'end' }, `most ${format(high)}`),
      lines.map(({ name, points }, number) => [
        tag(
          'text',
          { x: LEFT - 8, y: top + 46 + number * 14, class: `small text${number}`, 'text-anchor': 'end' },
          name,
        ),
        pieces(points).map((piece) =>
          tag('polyline', {
            points: piece
              .map(([ms, value]) => `${scale.x(ms).toFixed(1)},${y(value, top).toFixed(1)}`)
              .join(' '),
            class: `chart line${number}`,
          }),
        ),
      ]),
    ],
  }
}

const LONGEST_STEP_MS = 3_500

/** A line is broken where there was nothing for a while. */
function pieces(points: Line['points']): Line['points'][] {
  const all: (readonly [number, number])[][] = []
  for (const point of points) {
    const last = all.at(-1)
    const before = last?.at(-1)
    if (last === undefined || before === undefined || point[0] - before[0] > LONGEST_STEP_MS)
      all.push([point])
    else last.push(point)
  }
  return all
}

function walBand(content: number, wal: readonly WalSample[], scale: Scale): Band {
  const here = wal.filter((sample) => sample.content === content)
  const dbids = [...new Set(here.map(({ dbid }) => dbid))].sort((a, b) => a - b)
  const lines = dbids.map((dbid) => ({
    name: `dbid ${dbid}`,
    points: here
      // An instance that starts does not know its position yet.
      .filter((sample) => sample.dbid === dbid && sample.flushLsn > 0)
      .map(({ timeMs, flushLsn }) => [timeMs, flushLsn / 1024] as const),
  }))
  return chartBand(`WAL ${content}, KB`, scale, lines)
}
