/**
 * Remade: one table whose rows stay and whose distribution key changes. Its clients make it anew with one key or the other, in a transaction with all of its rows, and take some of
 * that back; meanwhile the others write rows, and look for them by each of the keys. A row that was written for the wrong key is there, and is not found by the right one. Made by
 * the run.
 */
import type { SimRandom } from '../../sim/sim-random.ts'
import type { Json } from '../history/op.ts'
import { TakenBack, type Session, type Step } from './session.ts'
import { contentsOf, type Workload } from './workload.ts'

/** From a row's `x` to its `y`. */
const APART = 1_000_000
const LAST = 40
const LAST_OF_ALL = 300

export class RemadeWorkload implements Workload {
  readonly name = 'remade'
  /** One for each way to send statements: what is planned when it is prepared meets the change later. */
  readonly clients = 3
  readonly tables = ['CREATE TABLE chaos_remade (x bigint, y bigint) DISTRIBUTED BY (x)']
  readonly #contents: readonly number[]
  #next = 1

  constructor(contents: number) {
    this.#contents = contentsOf(
      Array.from({ length: 8 * contents }, (_, i) => i),
      contents,
    )
  }

  next(random: SimRandom): Step {
    if (random.chance(0.08)) return this.#remake(random.pick(['x', 'y']), random.chance(0.4))
    if (random.chance(0.5)) return this.#put(random.chance(0.5) ? 1 : 2)
    return this.#find([Math.max(1, this.#next - 1 - random.below(LAST))])
  }

  finalSteps(): Step[] {
    const first = Math.max(1, this.#next - LAST_OF_ALL)
    const ids = Array.from({ length: this.#next - first }, (_, i) => first + i)
    return [{ ...this.#find(ids), final: true }]
  }

  /** Rows of one statement. */
  #put(count: number): Step {
    const ids = Array.from({ length: count }, () => this.#next++)
    const rows = ids.map((_, i) => `($${2 * i + 1}, $${2 * i + 2})`).join(', ')
    return this.#step('put', ids, async (session) => {
      await session.query(
        `INSERT INTO chaos_remade VALUES ${rows}`,
        ids.flatMap((id) => [id, id + APART]),
      )
      return ids
    })
  }

  /** How many rows there are of each of these, by one key and by the other. */
  #find(ids: readonly number[]): Step {
    return {
      ...this.#step('find', ids, async (session) => {
        const counts: Json[] = []
        for (const id of ids)
          counts.push([await countBy(session, 'x', id), await countBy(session, 'y', id + APART)])
        return { ids, counts }
      }),
      isReadOnly: true,
    }
  }

  #remake(key: 'x' | 'y', isTakenBack: boolean): Step {
    return this.#step('remake', key, (session) =>
      session.transaction(async () => {
        await session.query(
          `CREATE TABLE chaos_remade_next AS SELECT x, y FROM chaos_remade DISTRIBUTED BY (${key})`,
        )
        await session.query('DROP TABLE chaos_remade')
        await session.query('ALTER TABLE chaos_remade_next RENAME TO chaos_remade')
        if (isTakenBack) throw new TakenBack('rolled back by its client')
        return key
      }),
    )
  }

  #step(f: string, asked: Json, run: Step['run']): Step {
    return { f, asked, contents: this.#contents, isReadOnly: false, run }
  }
}

async function countBy(session: Session, key: 'x' | 'y', value: number): Promise<number> {
  const { rows } = await session.query(`SELECT x FROM chaos_remade WHERE ${key} = $1`, [value])
  return rows.length
}
