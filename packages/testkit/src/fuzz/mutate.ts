/** Damages bytes and values: what a broken peer, a torn file or a hostile client would send. Seeded. */
import type { SimRandom } from '../sim/sim-random.ts'
import { bytes, edgeNumber, json } from './draw.ts'

/** A damaged copy: one to three small changes. The original stays as it is. */
export function damaged(random: SimRandom, original: Uint8Array): Buffer {
  let now: Buffer = Buffer.from(original)
  for (let times = 1 + random.below(3); times > 0; times--) now = once(random, now)
  return now
}

function once(random: SimRandom, now: Buffer): Buffer {
  const at = now.length === 0 ? 0 : random.below(now.length)
  switch (random.below(9)) {
    case 0: // one bit
      if (now.length > 0) now[at] = (now[at] as number) ^ (1 << random.below(8))
      return now
    case 1: // one byte
      if (now.length > 0) now[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.below(256)])
      return now
    case 2: // cut off
      return now.subarray(0, at)
    case 3: // something in between
      return Buffer.concat([now.subarray(0, at), bytes(random, 1 + random.below(8)), now.subarray(at)])
    case 4: // something gone
      return Buffer.concat([now.subarray(0, at), now.subarray(at + 1 + random.below(8))])
    case 5: // something twice
      return Buffer.concat([now.subarray(0, at), now.subarray(Math.max(0, at - random.below(16)))])
    case 6: // a 32-bit number, big-endian
      if (now.length >= 4) now.writeInt32BE(edgeNumber(random) | 0, Math.min(at, now.length - 4))
      return now
    case 7: // and little-endian
      if (now.length >= 4) now.writeInt32LE(edgeNumber(random) | 0, Math.min(at, now.length - 4))
      return now
    default: // a run of one byte
      return now.fill(random.pick([0, 0xff, 0x20]), at, Math.min(now.length, at + random.below(32)))
  }
}

/** Cuts the bytes into chunks, as a network might. */
export function chopped(random: SimRandom, whole: Uint8Array): Uint8Array[] {
  if (random.chance(0.3)) return [whole]
  const most = random.pick([1, 3, 16, 400])
  const chunks: Uint8Array[] = []
  // A long stream byte by byte takes long and shows nothing that a short one does not.
  const least = Math.ceil(whole.length / 300)
  for (let at = 0; at < whole.length;) {
    const next = at + Math.max(least, 1 + random.below(most))
    chunks.push(whole.subarray(at, next))
    at = next
  }
  return chunks
}

/** A copy of a value of JSON with one of its parts changed, dropped, or of another kind. */
export function damagedValue(random: SimRandom, value: unknown): unknown {
  if (random.chance(0.1)) return json(random)
  if (Array.isArray(value)) {
    if (value.length === 0) return [json(random)]
    const at = random.below(value.length)
    if (random.chance(0.15)) return value.filter((_, index) => index !== at)
    if (random.chance(0.1)) return [...(value as unknown[]), value[at]]
    return value.map((one: unknown, index) => (index === at ? damagedValue(random, one) : one))
  }
  if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array)) {
    const entries = Object.entries(value)
    if (entries.length === 0) return json(random)
    const at = random.below(entries.length)
    if (random.chance(0.15)) return Object.fromEntries(entries.filter((_, index) => index !== at))
    if (random.chance(0.05))
      return { ...value, [random.pick(['extra', '__proto__', 'type', ''])]: json(random) }
    return Object.fromEntries(
      entries.map(([key, one], index) => [key, index === at ? damagedValue(random, one) : one]),
    )
  }
  if (typeof value === 'number' && random.chance(0.7)) return edgeNumber(random)
  return json(random, 1)
}
