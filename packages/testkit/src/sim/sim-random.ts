/** The randomness port, seeded: the same seed gives the same numbers on every machine (sfc32). */
import type { Random } from '@mirabelle/runtime'

export class SimRandom implements Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number) {
    this.#a = seed | 0
    this.#b = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b)
    this.#c = (seed / 2 ** 32) | 0
    for (let i = 0; i < 12; i++) this.#next32()
  }

  next(): number {
    return this.#next32() / 2 ** 32
  }

  hex(bytes: number): string {
    let text = ''
    for (let i = 0; i < bytes; i++) text += (this.#next32() & 0xff).toString(16).padStart(2, '0')
    return text
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + this.next() * (high - low)
  }

  /** A whole number in [0, count). */
  below(count: number): number {
    return Math.floor(this.next() * count)
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(list: readonly T[]): T {
    const one = list[this.below(list.length)]
    if (one === undefined) throw new RangeError('nothing to pick from')
    return one
  }

  /** A generator of its own whose numbers do not depend on how often this one is asked later. */
  fork(): SimRandom {
    return new SimRandom(this.#next32() * 2 ** 20 + (this.#next32() >>> 12))
  }

  #next32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#counter++) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (this.#c << 21) | (this.#c >>> 11)
    this.#c = (this.#c + t) | 0
    return t >>> 0
  }
}
