/** Draws the text of a file: a good one, one with a value changed, or with bytes damaged. */
import type { SimRandom } from '../../sim/sim-random.ts'
import { json, text } from '../draw.ts'
import { damaged, damagedValue } from '../mutate.ts'

/** A JSON file that began as `good`. */
export function jsonFile(random: SimRandom, good: unknown): Buffer {
  switch (random.below(10)) {
    case 0:
      return damaged(random, Buffer.from(JSON.stringify(good, null, 2)))
    case 1:
      return Buffer.from(JSON.stringify(json(random, 3)) ?? '')
    case 2:
      return Buffer.from(text(random))
    case 3:
      return Buffer.from(JSON.stringify(good))
    default: {
      let value = good
      for (let times = 1 + random.below(3); times > 0; times--) value = damagedValue(random, value)
      return Buffer.from(JSON.stringify(value) ?? '')
    }
  }
}

/** A file of lines: lines damaged, doubled, dropped, changed places. */
export function linesFile(random: SimRandom, good: string): Buffer {
  const lines = good.split('\n')
  for (let times = random.below(4); times > 0; times--) {
    const at = random.below(lines.length)
    const line = lines[at] ?? ''
    switch (random.below(6)) {
      case 0:
        lines.splice(at, 1)
        break
      case 1:
        lines.splice(at, 0, line)
        break
      case 2:
        lines[at] = damaged(random, Buffer.from(line)).toString('utf8')
        break
      case 3:
        lines[at] = line.replace(/[^:|]*$/, () => text(random))
        break
      case 4:
        lines[at] = `${' '.repeat(random.below(6))}${line.trim()}`
        break
      default:
        lines.splice(at, 0, text(random))
    }
  }
  const file = Buffer.from(lines.join('\n'))
  return random.chance(0.2) ? damaged(random, file) : file
}
