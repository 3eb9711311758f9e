/**
 * Schema: tables that are made, with their rows, in one transaction, looked at, and dropped. Made by the run. All else writes on the contents only; the coordinator writes here, so its
 * commits, its standby and its part in two-phase commit are seen as well.
 */
import type { SimRandom } from '../../sim/sim-random.ts'
import { ROWS_OF_A_TABLE } from '../check/schema.ts'
import type { Json } from '../history/op.ts'
import { TakenBack, type Session, type Step } from './session.ts'
import { contentsOf, type Workload } from './workload.ts'

const ids = Array.from({ length: ROWS_OF_A_TABLE }, (_, i) => i + 1)
/** So many tables are there at a time. */
const MOST_TABLES = 6
/** The table of a name in a list is not there any more. */
const UNDEFINED_TABLE = '42P01'

export class SchemaWorkload implements Workload {
  readonly name = 'schema'
  readonly clients = 1
  readonly tables: readonly string[] = []
  readonly #contents: readonly number[]
  /** That may be there, oldest first. */
  readonly #made: number[] = []
  #next = 1

  constructor(contents: number) {
    this.#contents = contentsOf(ids, contents)
  }

  next(random: SimRandom): Step {
    const kind = random.below(10)
    if (kind < 6) return this.#look(this.#made.length === 0 ? null : random.pick(this.#made))
    if (kind < 8 && this.#made.length >= MOST_TABLES) return this.#drop(this.#made.shift() as number)
    return this.#make(this.#next++, random.chance(0.2))
  }

  finalSteps(): Step[] {
    return [{ ...this.#look('all'), final: true }]
  }

  #make(table: number, isTakenBack: boolean): Step {
    if (!isTakenBack) this.#made.push(table)
    return this.#step('make', table, (session) =>
      session.transaction(async () => {
        await session.query(`CREATE TABLE ${nameOf(table)} (id bigint PRIMARY KEY) DISTRIBUTED BY (id)`)
        await session.query(`INSERT INTO ${nameOf(table)} VALUES ${ids.map((id) => `(${id})`).join(', ')}`)
        if (isTakenBack) throw new TakenBack('rolled back by its client')
        return table
      }),
    )
  }

  #drop(table: number): Step {
    return this.#step('drop', table, async (session) => {
      await session.query(`DROP TABLE ${nameOf(table)}`)
      return table
    })
  }

  /** Which tables there are, and the rows of one, or of all. */
  #look(which: number | 'all' | null): Step {
    return {
      ...this.#step('look', which, async (session) => {
        const tables = await tablesOf(session)
        const rows: Record<string, Json> = {}
        for (const table of tables)
          if (which === 'all' || table === which) rows[table] = await rowsOf(session, table)
        return { tables, rows }
      }),
      isReadOnly: true,
    }
  }

  #step(f: string, asked: Json, run: Step['run']): Step {
    return { f, asked, contents: this.#contents, isReadOnly: false, run }
  }
}

const nameOf = (table: number): string => `chaos_table_${table}`

async function tablesOf(session: Session): Promise<number[]> {
  const { rows } = await session.query(
    "SELECT relname FROM pg_class WHERE relname LIKE 'chaos_table_%' AND relkind = 'r'",
  )
  return rows.map(({ relname }) => Number(relname?.split('_').at(-1))).sort((a, b) => a - b)
}

/** Null when it has gone since it was listed. */
async function rowsOf(session: Session, table: number): Promise<number[] | null> {
  try {
    const { rows } = await session.query(`SELECT id FROM ${nameOf(table)}`)
    return rows.map(({ id }) => Number(id)).sort((a, b) => a - b)
  } catch (error) {
    if ((error as { readonly code?: string }).code !== UNDEFINED_TABLE) throw error
    return null
  }
}
