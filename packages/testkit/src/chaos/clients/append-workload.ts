/**
 * List-append: transactions that append to lists and read lists, on several contents. Made by the run. A list is a text in one row; after some appends its key is
 * given up for a new one, so that lists, and what a read carries, stay short.
 */
import type { SimRandom } from '../../sim/sim-random.ts'
import type { MicroOp } from '../history/op.ts'
import type { Session, Step } from './session.ts'
import { contentsOf, type Workload } from './workload.ts'

const ACTIVE_KEYS = 6
const APPENDS_OF_A_KEY = 40
const KEYS_OF_A_FINAL_READ = 20
const MOST_MICRO_OPS = 4

const append =
  "INSERT INTO chaos_append VALUES ($1, ($2::bigint)::text) ON CONFLICT (key) DO UPDATE SET elements = chaos_append.elements || ',' || excluded.elements"

interface Key {
  readonly key: number
  appends: number
}

export class AppendWorkload implements Workload {
  readonly name = 'append'
  readonly clients = 4
  readonly tables = ['CREATE TABLE chaos_append (key bigint PRIMARY KEY, elements text) DISTRIBUTED BY (key)']
  readonly #contents: number
  readonly #active: Key[] = []
  #nextKey = 1

  constructor(contents: number) {
    this.#contents = contents
    while (this.#active.length < ACTIVE_KEYS) this.#active.push(this.#newKey())
  }

  next(random: SimRandom): Step {
    const micros: MicroOp[] = []
    const count = 1 + random.below(MOST_MICRO_OPS)
    const readsOnly = random.chance(0.2)
    for (let i = 0; i < count; i += 1) {
      const place = random.below(ACTIVE_KEYS)
      const one = this.#active[place] as Key
      if (readsOnly || random.chance(0.4)) {
        micros.push(['r', one.key, null])
        continue
      }
      one.appends += 1
      micros.push(['append', one.key, one.appends])
      if (one.appends >= APPENDS_OF_A_KEY) this.#active[place] = this.#newKey()
    }
    return this.#step(micros, random.chance(0.5))
  }

  finalSteps(): Step[] {
    const steps: Step[] = []
    for (let first = 1; first < this.#nextKey; first += KEYS_OF_A_FINAL_READ) {
      const count = Math.min(KEYS_OF_A_FINAL_READ, this.#nextKey - first)
      const micros = Array.from({ length: count }, (_, i): MicroOp => ['r', first + i, null])
      steps.push({ ...this.#step(micros, true), final: true })
    }
    return steps
  }

  /** `atOnce`: reads of several keys in one statement. */
  #step(micros: readonly MicroOp[], atOnce: boolean): Step {
    const isReadOnly = micros.every(([f]) => f === 'r')
    return {
      f: 'txn',
      asked: micros,
      contents: contentsOf(
        micros.map(([, key]) => key),
        this.#contents,
      ),
      isReadOnly,
      run: async (session) => {
        if (isReadOnly && atOnce) return readAtOnce(session, micros)
        if (micros.length === 1) return oneByOne(session, micros)
        return session.transaction(() => oneByOne(session, micros))
      },
    }
  }

  #newKey(): Key {
    return { key: this.#nextKey++, appends: 0 }
  }
}

async function oneByOne(session: Session, micros: readonly MicroOp[]): Promise<MicroOp[]> {
  const told: MicroOp[] = []
  for (const micro of micros) {
    if (micro[0] === 'append') {
      await session.query(append, [micro[1], micro[2]])
      told.push(micro)
      continue
    }
    const { rows } = await session.query('SELECT elements FROM chaos_append WHERE key = $1', [micro[1]])
    told.push(['r', micro[1], elementsOf(rows[0]?.['elements'])])
  }
  return told
}

/** All lists in one statement: one moment over all contents. */
async function readAtOnce(session: Session, micros: readonly MicroOp[]): Promise<MicroOp[]> {
  const keys = [...new Set(micros.map(([, key]) => key))]
  const places = keys.map((_, i) => `$${i + 1}`).join(', ')
  const { rows } = await session.query(
    `SELECT key, elements FROM chaos_append WHERE key IN (${places})`,
    keys,
  )
  const lists = new Map(rows.map((row) => [Number(row['key']), elementsOf(row['elements'])]))
  return micros.map(([, key]): MicroOp => ['r', key, lists.get(key) ?? []])
}

function elementsOf(text: string | undefined): number[] {
  return text === undefined || text === '' ? [] : text.split(',').map(Number)
}
