/** Cursors of a session: their rows are kept in memory (up to gather_limit) and handed out by FETCH. */
import { commandComplete } from '@mirabelle/pgwire'
import type { SessionAction } from '@mirabelle/sql'
import type { CollectingSink, Sink } from '../execute/sink.ts'
import { SqlError } from '../errors.ts'

type Fetch = Extract<SessionAction, { type: 'fetch' }>

interface Cursor {
  readonly fields: Buffer | undefined
  readonly rows: readonly Buffer[]
  readonly hold: boolean
  readonly scroll: boolean
  /** Rows before this one have been passed; 0 = before the first, rows.length + 1 = behind the last. */
  position: number
}

export class Cursors {
  readonly #cursors = new Map<string, Cursor>()

  declare(
    name: string,
    answer: CollectingSink,
    options: { readonly hold: boolean; readonly scroll: boolean },
  ): void {
    if (this.#cursors.has(name)) throw new SqlError('42P03', `cursor "${name}" already exists`)
    this.#cursors.set(name, { fields: answer.fields, rows: answer.rows, ...options, position: 0 })
  }

  exists(name: string): boolean {
    return this.#cursors.has(name)
  }

  fields(name: string): Buffer | undefined {
    return this.#cursors.get(name)?.fields
  }

  /** The transaction has ended: only those WITH HOLD stay, and only if it committed. */
  endTransaction(): void {
    for (const [name, cursor] of this.#cursors) if (!cursor.hold) this.#cursors.delete(name)
  }

  close(name: string | undefined): void {
    if (name === undefined) this.#cursors.clear()
    else if (!this.#cursors.delete(name)) throw notFound(name)
  }

  fetch(action: Fetch, sink: Sink, describe: boolean): void {
    const cursor = this.#cursors.get(action.name)
    if (cursor === undefined) throw notFound(action.name)
    const rows = take(cursor, action)
    if (action.move) return sink.send(commandComplete(`MOVE ${rows.length}`))
    if (describe && cursor.fields !== undefined) sink.send(cursor.fields)
    for (const row of rows) sink.send(row)
    sink.send(commandComplete(`FETCH ${rows.length}`))
  }
}

function notFound(name: string): SqlError {
  return new SqlError('34000', `cursor "${name}" does not exist`)
}

/** The rows that a FETCH gives, moving the position as PostgreSQL does. */
function take(cursor: Cursor, { direction, count }: Fetch): Buffer[] {
  const { rows } = cursor
  const end = rows.length + 1
  const backwards =
    (direction === 'backward' && count !== 0) || (direction === 'forward' && count !== 'all' && count < 0)
  if (backwards && !cursor.scroll) {
    throw new SqlError('55000', 'cursor can only scan forward', {
      hint: 'Declare it with SCROLL option to enable backward scan.',
    })
  }
  const number = count === 'all' ? Number.POSITIVE_INFINITY : count
  if (direction === 'absolute' || direction === 'relative') {
    const base = direction === 'relative' ? cursor.position : number < 0 ? end : 0
    cursor.position = Math.max(0, Math.min(end, base + number))
    const row = rows[cursor.position - 1]
    return row === undefined ? [] : [row]
  }
  const signed = direction === 'backward' ? -number : number
  if (signed === 0) {
    const row = rows[cursor.position - 1]
    return row === undefined ? [] : [row]
  }
  const taken: Buffer[] = []
  for (let left = Math.abs(signed); left > 0; left--) {
    const next = cursor.position + Math.sign(signed)
    cursor.position = Math.max(0, Math.min(end, next))
    const row = rows[next - 1]
    if (row === undefined) break
    taken.push(row)
  }
  return taken
}
