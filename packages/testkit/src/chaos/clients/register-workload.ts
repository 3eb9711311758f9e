/** Registers: one row each, read, written, and compared and set by single statements. Made by the run. Every value is written once, so a read tells whose it is. */
import type { SimRandom } from '../../sim/sim-random.ts'
import type { Json } from '../history/op.ts'
import type { Step } from './session.ts'
import { contentsOf, type Workload } from './workload.ts'

const ACTIVE_KEYS = 2
/** The work of the checker grows steeply with the operations of a key. */
const OPERATIONS_OF_A_KEY = 120

interface Key {
  readonly key: number
  operations: number
  /** What somebody saw last, or tried to write: what a compare-and-set may hope for. */
  last: number
}

export class RegisterWorkload implements Workload {
  readonly name = 'register'
  readonly clients = 3
  readonly tables = [
    'CREATE TABLE chaos_register (key bigint PRIMARY KEY, value bigint) DISTRIBUTED BY (key)',
  ]
  readonly #contents: number
  readonly #active: Key[] = []
  #nextKey = 1
  #nextValue = 1

  constructor(contents: number) {
    this.#contents = contents
    while (this.#active.length < ACTIVE_KEYS) this.#active.push(this.#newKey())
  }

  next(random: SimRandom): Step {
    const place = random.below(ACTIVE_KEYS)
    const one = this.#active[place] as Key
    one.operations += 1
    if (one.operations >= OPERATIONS_OF_A_KEY) this.#active[place] = this.#newKey()
    const kind = random.below(10)
    if (kind < 4) return this.#read(one.key)
    return kind < 7 || one.last === 0 ? this.#write(one.key) : this.#compareAndSet(one.key, one.last)
  }

  observe({ f, asked }: Step, told: Json): void {
    const { key } = asked as { readonly key: number }
    const one = this.#active.find((active) => active.key === key)
    if (one === undefined) return
    const { seen, to } = told as { readonly seen?: number | null; readonly to?: number }
    one.last = (f === 'read' ? seen : to) ?? one.last
  }

  finalSteps(): Step[] {
    return Array.from({ length: this.#nextKey - 1 }, (_, i) => ({ ...this.#read(i + 1), final: true }))
  }

  #read(key: number): Step {
    return {
      ...this.#of('read', { key }, true),
      run: async (session) => {
        const { rows } = await session.query('SELECT value FROM chaos_register WHERE key = $1', [key])
        const seen = rows[0]?.['value']
        return { key, seen: seen === undefined ? null : Number(seen) }
      },
    }
  }

  #write(key: number): Step {
    const to = this.#nextValue++
    return {
      ...this.#of('write', { key, to }, false),
      run: async (session) => {
        await session.query(
          'INSERT INTO chaos_register VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
          [key, to],
        )
        return { key, to }
      },
    }
  }

  #compareAndSet(key: number, from: number): Step {
    const to = this.#nextValue++
    return {
      ...this.#of('cas', { key, from, to }, false),
      run: async (session) => {
        const { rowCount } = await session.query(
          'UPDATE chaos_register SET value = $3 WHERE key = $1 AND value = $2',
          [key, from, to],
        )
        return { key, from, to, swapped: rowCount === 1 }
      },
    }
  }

  #of(f: string, asked: { readonly key: number; readonly [name: string]: number }, isReadOnly: boolean) {
    return { f, asked, isReadOnly, contents: contentsOf([asked.key], this.#contents) }
  }

  #newKey(): Key {
    return { key: this.#nextKey++, operations: 0, last: 0 }
  }
}
