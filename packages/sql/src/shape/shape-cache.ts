/**
 * Plans by shape of statement, for one catalog version; one a coordinator. Bounded: two generations of `capacity` shapes each; a shape that is
 * used stays, one that is not for a whole generation goes.
 */
import type { CatalogView } from '../catalog.ts'
import type { ShapePlan } from './literal-plan.ts'

export class ShapeCache {
  readonly #capacity: number
  #version = -1
  #young = new Map<string, ShapePlan>()
  #old = new Map<string, ShapePlan>()
  hits = 0
  misses = 0

  constructor(capacity = 5000) {
    this.#capacity = capacity
  }

  get(key: string, catalog: CatalogView): ShapePlan | undefined {
    if (catalog.version !== this.#version) this.#clear(catalog.version)
    let found = this.#young.get(key)
    if (found === undefined) {
      found = this.#old.get(key)
      if (found !== undefined) this.#put(key, found)
    }
    if (found === undefined) this.misses++
    else this.hits++
    return found
  }

  set(key: string, plan: ShapePlan, catalog: CatalogView): void {
    if (catalog.version !== this.#version) this.#clear(catalog.version)
    this.#put(key, plan)
  }

  #put(key: string, plan: ShapePlan): void {
    if (this.#young.size >= this.#capacity) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(key, plan)
  }

  #clear(version: number): void {
    this.#version = version
    this.#young = new Map()
    this.#old = new Map()
  }
}
