/** Draws messages that have the right shape, of every type in the catalog: values are tried until the catalog's own checks take them. */
import { messageCatalog, type Field, type MessageType } from '@mirabelle/messages'
import type { SimRandom } from '../../sim/sim-random.ts'
import { bytes, edgeNumber, lengthUpTo, text } from '../draw.ts'

type Draw = (random: SimRandom) => unknown

const endpoint = (random: SimRandom): unknown => ({
  addresses: ['127.0.0.1', text(random)],
  port: random.below(65_536),
})
const settled: Draw = (random) => [
  edgeNumber(random),
  Math.abs(edgeNumber(random)),
  bytes(random, random.below(30)),
]
const history: Draw = (random) => ({ timeline: 1 + random.below(9), end: random.below(1e6) })

/** Tried in random order for each field. */
const CANDIDATES: readonly Draw[] = [
  edgeNumber,
  (random) => random.below(9),
  () => 1,
  (random) => random.chance(0.5),
  (random) => text(random),
  (random) => bytes(random, lengthUpTo(random, 40_000)),
  () => null,
  () => [],
  (random) => [text(random)],
  (random) => [random.below(99)],
  (random) => [settled(random), settled(random)],
  (random) => [history(random)],
  endpoint,
  (random) => ({ [text(random)]: text(random) }),
]

const TYPES = Object.keys(messageCatalog) as MessageType[]
const TRIES = 40

/** A message as a plain value; a field for which nothing fits is left out, which makes it a message to refuse. */
export function drawMessage(random: SimRandom): Record<string, unknown> {
  const type = random.pick(TYPES)
  const fields = messageCatalog[type].fields as Record<string, Field<unknown>>
  const message: Record<string, unknown> = { type }
  for (const [name, field] of Object.entries(fields)) {
    const value = fitting(random, field)
    if (value !== undefined) message[name] = value
  }
  return message
}

function fitting(random: SimRandom, field: Field<unknown>): unknown {
  const words = [...field.type.matchAll(/`([^`]*)`/g)].map(([, word]) => word)
  if (words.length > 0 && !field.type.startsWith('{')) return random.pick(words)
  for (let tries = 0; tries < TRIES; tries++) {
    const value = random.pick(CANDIDATES)(random)
    if (field.check(value)) return value
  }
  return undefined
}
