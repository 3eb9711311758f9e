/** Timeline history files: refused with `datadir.broken`, or understood in a way that says the same when it is written again. */
import { isDeepStrictEqual } from 'node:util'
import { formatLsn, MirabelleError, type HistoryEntry } from '@mirabelle/messages'
import {
  fileTimeline,
  forkPoint,
  formatHistory,
  isAncestor,
  parseHistory,
  timelineSpans,
} from '@mirabelle/wal'
import { edgeNumber, text } from '../draw.ts'
import { promise, refusalOf, type FuzzTarget } from '../fuzz-target.ts'
import { damaged } from '../mutate.ts'

const SEGMENT = 1024 * 1024
const TIMELINE = 9

export const history: FuzzTarget = {
  name: 'history',
  what: 'timeline history files',
  draw(random) {
    let lsn = 0
    const lines = Array.from({ length: random.below(5) }, (_, index) => {
      lsn += random.below(2 ** 30) * (1 + random.below(9))
      const end = random.chance(0.05) ? 'FFFFFFFF/FFFFFFFF' : formatLsn(lsn)
      const timeline = random.chance(0.9) ? index + 1 : edgeNumber(random)
      return `${timeline}\t${end}\t${text(random)}`
    })
    if (random.chance(0.2)) lines.push(`# ${text(random)}`)
    const file = Buffer.from(`${lines.join('\n')}\n`)
    return [random.chance(0.5) ? damaged(random, file) : file]
  },
  run(input) {
    const content = Buffer.concat(input).toString('utf8')
    let entries: HistoryEntry[] = []
    const refused = refusalOf(() => {
      entries = parseHistory(content, TIMELINE)
    }, MirabelleError)
    if (refused !== undefined) {
      promise(refused.code === 'datadir.broken', () => `refused with ${refused.code}`)
      return
    }
    promise(
      isDeepStrictEqual(parseHistory(formatHistory(entries), TIMELINE), entries),
      () => 'it says something else when it is written again',
    )
    const spans = timelineSpans(entries, TIMELINE)
    promise(
      spans.every(
        (span, index) => span.end >= span.begin && (index === 0 || span.begin === spans[index - 1]?.end),
      ),
      () => 'its timelines do not follow each other',
    )
    for (const { timeline, end } of entries) {
      promise(forkPoint(entries, timeline) === end, () => `timeline ${timeline} ends elsewhere`)
      promise(
        isAncestor(entries, TIMELINE, fileTimeline(spans, end, SEGMENT)),
        () => 'WAL is looked for on a foreign timeline',
      )
    }
  },
}
