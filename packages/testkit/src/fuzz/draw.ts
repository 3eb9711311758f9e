/** Draws values that are likely to hurt: limits and their neighbours, odd lengths, text with traps in it. Seeded, without state. */
import type { SimRandom } from '../sim/sim-random.ts'

const EDGES = [
  0,
  1,
  2,
  3,
  4,
  5,
  7,
  8,
  15,
  16,
  23,
  24,
  31,
  32,
  39,
  40,
  63,
  64,
  127,
  128,
  255,
  256,
  4095,
  4096,
  8191,
  8192,
  9_999,
  10_000,
  10_001,
  32_767,
  32_768,
  65_535,
  65_536,
  2 ** 20,
  2 ** 24,
  2 ** 26,
  2 ** 26 + 1,
  2 ** 30,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  Number.MAX_SAFE_INTEGER,
  -1,
  -2,
  -128,
  -32_768,
  -(2 ** 31),
] as const

const TEXTS = [
  '',
  'a',
  'postgres',
  'user',
  'database',
  'options',
  'replication',
  '__proto__',
  'constructor',
  'toString',
  'type',
  'select 1',
  "'",
  '"',
  '\\',
  '\n',
  '%s%n',
  '../../etc/passwd',
  '-c',
  '--',
  '$1',
  'n,,n=,r=abc',
  '\u0000',
  '\ufffd',
  '\u{1f600}',
  'ß',
  '\u202e',
  '1e309',
  '-0',
  'NaN',
  'null',
  'true',
  '0/0',
  'FFFFFFFF/FFFFFFFF',
] as const

/** A number near a limit, or any small one. */
export function edgeNumber(random: SimRandom): number {
  if (random.chance(0.3)) return random.below(300)
  const edge = random.pick(EDGES)
  return random.chance(0.3) ? edge + random.below(3) - 1 : edge
}

/** Random bytes. */
export function bytes(random: SimRandom, length: number): Buffer {
  const out = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; at++) out[at] = random.below(256)
  return out
}

/** A short length mostly, a long one now and then. */
export function lengthUpTo(random: SimRandom, most: number): number {
  return random.chance(0.9) ? random.below(Math.min(most, 24) + 1) : random.below(most + 1)
}

/** Some text: a known trap, or letters. */
export function text(random: SimRandom, most = 40): string {
  if (random.chance(0.6)) return random.pick(TEXTS)
  const length = lengthUpTo(random, most)
  let out = ''
  for (let at = 0; at < length; at++) out += String.fromCharCode(32 + random.below(95))
  return out
}

/** A list of drawn things. */
export function listOf<T>(random: SimRandom, most: number, draw: (random: SimRandom) => T): T[] {
  return Array.from({ length: random.below(most + 1) }, () => draw(random))
}

/** Any value of JSON, nested a little. */
export function json(random: SimRandom, depth = 2): unknown {
  switch (random.below(depth > 0 ? 8 : 6)) {
    case 0:
      return null
    case 1:
      return random.chance(0.5)
    case 2:
    case 3:
      return edgeNumber(random)
    case 4:
    case 5:
      return text(random)
    case 6:
      return listOf(random, 4, (inner) => json(inner, depth - 1))
    default:
      return Object.fromEntries(listOf(random, 4, (inner) => [text(inner, 10), json(inner, depth - 1)]))
  }
}
