/**
 * Set: rows that are only inserted, one or several at a time or by COPY, and read back. Made by the run. A client for each content keeps to it with single rows, waiting for no
 * other content, so that this workload also shows when a content could be used. Some transactions of the last client write a megabyte of WAL before they end, one way or the other:
 * more than PostgreSQL has buffers for, so that it is written, shipped and acknowledged before there is a commit record.
 */
import { contentOf } from '../../cluster/writers.ts'
import type { SimRandom } from '../../sim/sim-random.ts'
import { TakenBack, type Session, type Step } from './session.ts'
import { contentsOf, type Workload } from './workload.ts'

const ROWS_OF_MANY = 4
const MOST_ROWS_OF_COPY = 150
/** Reads show the end of the set only; all of it is read at last. */
const WINDOW = 300
/** What else is in a row: some twenty rows fill a page, so that most pages of the table are soon written by nobody any more. */
const PAD = 'repeat(md5(id::text), 12)'
const BALLAST = [
  `INSERT INTO chaos_ballast SELECT i, repeat('ballast', 60) FROM generate_series(1, 1500) i`,
  'DELETE FROM chaos_ballast',
]

export class SetWorkload implements Workload {
  readonly name = 'set'
  readonly clients: number
  readonly tables = [
    `CREATE TABLE chaos_set (id bigint, pad text GENERATED ALWAYS AS (${PAD}) STORED) DISTRIBUTED BY (id)`,
    'CREATE TABLE chaos_ballast (id bigint, pad text) DISTRIBUTED BY (id)',
  ]
  readonly #contents: number
  #next = 1

  constructor(contents: number) {
    this.#contents = contents
    this.clients = contents + 1
  }

  next(random: SimRandom, client: number): Step {
    if (client < this.#contents) return this.#addOne(client)
    if (random.chance(0.4)) return this.#read(Math.max(0, this.#next - WINDOW), random.chance(0.3))
    if (random.chance(0.35)) return this.#addByCopy(1 + random.below(MOST_ROWS_OF_COPY), random.chance(0.3))
    if (random.chance(0.5)) return this.#addInOne()
    return this.#addInTransaction(random.chance(0.3), random.chance(0.2), random.chance(0.4))
  }

  finalSteps(): Step[] {
    return [{ ...this.#read(0, false), final: true }]
  }

  #addOne(content: number): Step {
    let id = this.#next++
    while (contentOf(id, this.#contents) !== content) id = this.#next++
    return this.#add([id], async (session) => {
      await session.query('INSERT INTO chaos_set VALUES ($1)', [id])
      return [id]
    })
  }

  #addInOne(): Step {
    const ids = this.#someIds()
    return this.#add(ids, async (session) => {
      const rows = ids.map((_, i) => `($${i + 1})`).join(', ')
      await session.query(`INSERT INTO chaos_set VALUES ${rows}`, ids)
      return ids
    })
  }

  /** `hasSavepoint`: it adds others in the middle and takes only those back; nobody may ever see them. */
  #addInTransaction(isHeavy: boolean, isTakenBack: boolean, hasSavepoint: boolean): Step {
    const ids = this.#someIds()
    const strays = hasSavepoint ? this.#someIds() : []
    return this.#add(ids, async (session) => {
      await session.transaction(async () => {
        if (isHeavy) for (const sql of BALLAST) await session.query(sql)
        for (const [i, id] of ids.entries()) {
          if (i === 1 && strays.length > 0) await addAndTakeBack(session, strays)
          await session.query('INSERT INTO chaos_set VALUES ($1)', [id])
        }
        if (isTakenBack) throw new TakenBack('rolled back by its client')
      })
      return ids
    })
  }

  /** Rows of all contents, split by the coordinator; within a transaction, or as one by itself. */
  #addByCopy(count: number, inTransaction: boolean): Step {
    const ids = this.#someIds(count)
    return this.#add(ids, async (session) => {
      const load = (): Promise<string[]> => session.copy('COPY chaos_set (id) FROM STDIN', ids)
      await (inTransaction ? session.transaction(load) : load())
      return ids
    })
  }

  #someIds(count = ROWS_OF_MANY): number[] {
    return Array.from({ length: count }, () => this.#next++)
  }

  #add(ids: readonly number[], run: Step['run']): Step {
    return { f: 'add', asked: ids, contents: contentsOf(ids, this.#contents), isReadOnly: false, run }
  }

  #read(above: number, byCopy: boolean): Step {
    return {
      f: 'read',
      asked: { above },
      contents: Array.from({ length: this.#contents }, (_, content) => content),
      isReadOnly: true,
      run: async (session) => {
        const seen = byCopy ? await copyIds(session, above) : await selectIds(session, above)
        return { above, seen: seen.sort((a, b) => a - b) }
      },
    }
  }
}

async function addAndTakeBack(session: Session, ids: readonly number[]): Promise<void> {
  await session.query('SAVEPOINT before_strays')
  for (const id of ids) await session.query('INSERT INTO chaos_set VALUES ($1)', [id])
  await session.query('ROLLBACK TO SAVEPOINT before_strays')
}

/** A row that is not as it was written has a number that nobody has added. */
const numberOf = (id: string | undefined, isWhole: boolean): number => (isWhole ? Number(id) : -Number(id))

async function selectIds(session: Session, above: number): Promise<number[]> {
  const { rows } = await session.query(`SELECT id, pad = ${PAD} AS whole FROM chaos_set WHERE id > $1`, [
    above,
  ])
  return rows.map(({ id, whole }) => numberOf(id, String(whole) === 'true'))
}

async function copyIds(session: Session, above: number): Promise<number[]> {
  const rows = await session.copy(
    `COPY (SELECT id, pad = ${PAD} FROM chaos_set WHERE id > ${above}) TO STDOUT`,
  )
  return rows.map((row) => row.split('\t')).map(([id, whole]) => numberOf(id, whole === 't'))
}
