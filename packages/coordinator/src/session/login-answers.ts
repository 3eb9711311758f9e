/**
 * What the coordinator's PostgreSQL said to settings at earlier logins: it says the same until roles or grants change, and a login that has nothing new
 * to ask does not wait for its lane. Made with the front end.
 */
import { rowsOf } from '@mirabelle/pgwire'
import { SqlError } from '../errors.ts'
import type { Services } from '../execute/scope.ts'
import { firstErrorMessage } from '../lanes/backend-bytes.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import type { SessionSettings } from '../lanes/lane-item.ts'

/** Answers that are kept, of one state of the schema. */
const MAX_KEPT = 1_000

export class LoginAnswers {
  readonly #services: Services
  readonly #kept = new Map<string, readonly (string | null)[]>()
  #version = 0

  constructor(services: Services) {
    this.#services = services
  }

  /** The first row; throws what PostgreSQL says to it. */
  async firstRow(sql: string, as: SessionSettings): Promise<readonly (string | null)[]> {
    const { schema, dispatcher } = this.#services
    const { version } = schema.committed
    if (version !== this.#version || this.#kept.size >= MAX_KEPT) this.#kept.clear()
    this.#version = version
    const key = `${as.key}\0${sql}`
    const kept = this.#kept.get(key)
    if (kept !== undefined) return kept
    const item = { bytes: queryMessage(sql), syncs: 1, settings: as, write: false }
    const { output } = await dispatcher.runOne(-1, item).promise
    const error = firstErrorMessage(output)
    if (error !== undefined) throw SqlError.fromBytes(error)
    const row = rowsOf(output)[0] ?? []
    if (schema.open && schema.committed.version === version) this.#kept.set(key, row)
    return row
  }
}
