/**
 * Equality conditions that hold for every row of a join: which columns are equal to each other, which to a constant. Columns are named by
 * ids `source.column` of the join tree.
 */
import type { KeyPart } from '../plan.ts'

export interface Equalities {
  readonly pairs: readonly (readonly [string, string])[]
  readonly bound: readonly (readonly [string, KeyPart])[]
}

export const NO_EQUALITIES: Equalities = { pairs: [], bound: [] }

export function bothOf(...all: readonly Equalities[]): Equalities {
  return { pairs: all.flatMap((e) => e.pairs), bound: all.flatMap((e) => e.bound) }
}

/** Classes of equal columns. */
export class EqualityClasses {
  readonly #parent = new Map<string, string>()
  readonly #bound = new Map<string, KeyPart>()

  constructor(equalities: Equalities) {
    for (const [a, b] of equalities.pairs) this.#parent.set(this.#root(a), this.#root(b))
    for (const [column, part] of equalities.bound)
      if (!this.#bound.has(this.#root(column))) this.#bound.set(this.#root(column), part)
  }

  same(a: string, b: string): boolean {
    return this.#root(a) === this.#root(b)
  }

  /** The constant or parameter that the column equals. */
  boundTo(column: string): KeyPart | undefined {
    return this.#bound.get(this.#root(column))
  }

  #root(column: string): string {
    let at = column
    for (;;) {
      const parent = this.#parent.get(at)
      if (parent === undefined || parent === at) return at
      at = parent
    }
  }
}
