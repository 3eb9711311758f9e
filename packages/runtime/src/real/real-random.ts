/** Randomness of the operating system. */
import { randomBytes } from 'node:crypto'
import type { Random } from '../ports/random.ts'

/** The real randomness; good for nonces and ids. */
export const realRandom: Random = {
  next: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
  hex: (bytes) => randomBytes(bytes).toString('hex'),
}
