/**
 * The transaction of one session: explicit (BEGIN) or implicit (several statements in one message). It begins on a content when a statement
 * first needs that content. Made by the session; ends with `commit` or `rollback`.
 */
import type { TransactionModes } from '@mirabelle/sql'
import type { Foresight } from '../dtx/foresight.ts'
import type { DistributedTransaction } from '../dtx/transaction.ts'
import type { Services } from '../execute/scope.ts'
import { SqlError } from '../errors.ts'
import type { LaneUser } from '../lanes/lane-queue.ts'
import { quoteName } from './quote.ts'
import type { SettingsMark, SettingsOfSession } from './session-settings.ts'

/** What a transaction has from its session. */
export interface TransactionOwner {
  readonly services: Services
  readonly settings: SettingsOfSession
  readonly foresight: Foresight
}

interface Savepoint {
  readonly name: string
  readonly settings: SettingsMark
  readonly schemaChanged: boolean
}

export class SessionTransaction {
  /** BEGIN was said. */
  explicit: boolean
  modes: TransactionModes
  /** A statement failed: only ROLLBACK (or ROLLBACK TO) is left. */
  failed = false
  /** Why it was rolled back already, when it was. */
  over: SqlError | undefined
  /** The client has not been told yet that it was rolled back: it was idle when that happened. */
  untold: SqlError | undefined
  schemaChanged = false
  /** Wall clock, ms. */
  readonly beganAt: number
  readonly #services: Services
  readonly #settings: SettingsOfSession
  readonly #begin: SettingsMark
  readonly #foresight: Foresight
  #dtx: DistributedTransaction | undefined
  #savepoints: Savepoint[] = []

  constructor(
    { services, settings, foresight }: TransactionOwner,
    explicit: boolean,
    modes: TransactionModes,
  ) {
    this.#services = services
    this.#settings = settings
    this.#foresight = foresight
    this.#begin = settings.mark()
    this.beganAt = services.ports.clock.now()
    this.explicit = explicit
    this.modes = modes
  }

  /** The distributed transaction; begun when it is first asked for. */
  get dtx(): DistributedTransaction {
    return (this.#dtx ??= this.#services.dispatcher.begin(beginSql(this.modes), this.#foresight))
  }

  /** It has run something or waits to. */
  get started(): boolean {
    return this.#dtx !== undefined
  }

  holdsLanes(): boolean {
    return this.lanes.length > 0
  }

  /** Contents whose lanes it holds. */
  get lanes(): readonly number[] {
    return this.#dtx?.contents.filter((content) => this.#dtx?.holds(content) === true) ?? []
  }

  is(user: LaneUser): boolean {
    return this.#dtx === user
  }

  get savepointCount(): number {
    return this.#savepoints.length
  }

  async savepoint(name: string): Promise<void> {
    await this.dtx.savepoint('savepoint', quoteName(name))
    this.#savepoints.push({ name, settings: this.#settings.mark(), schemaChanged: this.schemaChanged })
  }

  async release(name: string): Promise<void> {
    const at = this.#find(name)
    await this.dtx.savepoint('release', quoteName(name))
    this.#savepoints = this.#savepoints.slice(0, at)
  }

  /** The caller reads the schema again when it had changed since. */
  async rollbackTo(name: string): Promise<{ readonly schemaWasChanged: boolean }> {
    const at = this.#find(name)
    const savepoint = this.#savepoints[at] as Savepoint
    if (this.over !== undefined) throw this.over
    await this.dtx.savepoint('rollback', quoteName(name))
    this.#savepoints = this.#savepoints.slice(0, at + 1)
    this.#settings.restore(savepoint.settings)
    this.failed = false
    return { schemaWasChanged: this.schemaChanged }
  }

  #find(name: string): number {
    const at = this.#savepoints.findLastIndex((savepoint) => savepoint.name === name)
    if (at < 0) throw new SqlError('3B001', `savepoint "${name}" does not exist`)
    return at
  }

  /** Rejects with 40001, 08007 or what a content said; then nothing was changed (or, 08007, nobody knows). */
  async commit(): Promise<void> {
    try {
      await this.#dtx?.commit()
      this.#settings.endLocal()
    } catch (error) {
      this.#settings.restore(this.#begin)
      await this.#schemaBack()
      throw error
    } finally {
      this.#services.schema.release(this)
    }
  }

  /** Gives all lanes back. Never rejects. */
  async rollback(): Promise<void> {
    if (this.#dtx !== undefined && !this.#dtx.ended) await this.#dtx.rollback()
    this.#settings.restore(this.#begin)
    await this.#schemaBack()
    this.#services.schema.release(this)
  }

  /** Rolled back at once, although the client has not said so yet: nobody else should wait for it. */
  async giveUp(error: SqlError): Promise<void> {
    this.failed = true
    this.over = error
    await this.rollback()
  }

  async #schemaBack(): Promise<void> {
    if (!this.schemaChanged) return
    this.schemaChanged = false
    const { dispatcher, schema } = this.#services
    await schema.load((item) => dispatcher.runOne(-1, item).promise)
  }
}

function beginSql(modes: TransactionModes): string {
  const words = ['BEGIN']
  if (modes.isolation !== undefined) words.push(`ISOLATION LEVEL ${modes.isolation.toUpperCase()}`)
  if (modes.readOnly !== undefined) words.push(modes.readOnly ? 'READ ONLY' : 'READ WRITE')
  if (modes.deferrable !== undefined) words.push(modes.deferrable ? 'DEFERRABLE' : 'NOT DEFERRABLE')
  return words.join(' ')
}
