/**
 * Set: rows that are only inserted, one or several at a time, and read back. Made by the run. A client for each content keeps to it with single rows, waiting for no
 * other content, so that this workload also shows when a content could be used.
 */
import { contentOf } from '../../cluster/writers.ts'
import type { SimRandom } from '../../sim/sim-random.ts'
import type { Step } from './session.ts'
import { contentsOf, type Workload } from './workload.ts'

const ROWS_OF_MANY = 4
/** Reads show the end of the set only; all of it is read at last. */
const WINDOW = 300

export class SetWorkload implements Workload {
  readonly name = 'set'
  readonly clients: number
  readonly tables = ['CREATE TABLE chaos_set (id bigint) DISTRIBUTED BY (id)']
  readonly #contents: number
  #next = 1

  constructor(contents: number) {
    this.#contents = contents
    this.clients = contents + 1
  }

  next(random: SimRandom, client: number): Step {
    if (client < this.#contents) return this.#addOne(client)
    if (random.chance(0.4)) return this.#read(Math.max(0, this.#next - WINDOW))
    return this.#addMany(random.chance(0.5))
  }

  finalSteps(): Step[] {
    return [{ ...this.#read(0), final: true }]
  }

  #addOne(content: number): Step {
    let id = this.#next++
    while (contentOf(id, this.#contents) !== content) id = this.#next++
    return this.#add([id], async (session) => {
      await session.query('INSERT INTO chaos_set VALUES ($1)', [id])
      return [id]
    })
  }

  /** In one statement, or one by one in a transaction. */
  #addMany(inOne: boolean): Step {
    const ids = Array.from({ length: ROWS_OF_MANY }, () => this.#next++)
    return this.#add(ids, async (session) => {
      const rows = ids.map((_, i) => `($${i + 1})`).join(', ')
      if (inOne) await session.query(`INSERT INTO chaos_set VALUES ${rows}`, ids)
      else
        await session.transaction(async () => {
          for (const id of ids) await session.query('INSERT INTO chaos_set VALUES ($1)', [id])
        })
      return ids
    })
  }

  #add(ids: readonly number[], run: Step['run']): Step {
    return { f: 'add', asked: ids, contents: contentsOf(ids, this.#contents), isReadOnly: false, run }
  }

  #read(above: number): Step {
    return {
      f: 'read',
      asked: { above },
      contents: Array.from({ length: this.#contents }, (_, content) => content),
      isReadOnly: true,
      run: async (session) => {
        const { rows } = await session.query('SELECT id FROM chaos_set WHERE id > $1', [above])
        return { above, seen: rows.map((row) => Number(row['id'])).sort((a, b) => a - b) }
      },
    }
  }
}
