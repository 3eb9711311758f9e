/**
 * A stretch of work on the coordinator's own PostgreSQL that leaves nothing behind but what it commits: a transaction beside the client's
 * one, or, when the client's transaction is at work there already, a savepoint in it. The lane is held by the client's transaction.
 */
import type { DistributedTransaction } from '../dtx/transaction.ts'
import type { LaneItem, LaneResult } from '../lanes/lane-item.ts'
import type { LaneRun } from '../lanes/lane-run.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { firstErrorMessage } from '../lanes/backend-bytes.ts'
import { SqlError } from '../errors.ts'
import type { Scope } from '../execute/scope.ts'

export type LocalItem = Pick<LaneItem, 'bytes' | 'syncs' | 'write' | 'onOutput'> & {
  readonly settings?: LaneItem['settings'] | undefined
}

const SAVEPOINT = 'mirabelle_bracket'

export class LocalBracket {
  readonly #scope: Scope
  readonly #transaction: DistributedTransaction
  readonly #inside: boolean
  #open = false
  readonly #runs = new Set<LaneRun>()

  /** The transaction must hold content -1. */
  constructor(scope: Scope, transaction: DistributedTransaction) {
    this.#scope = scope
    this.#transaction = transaction
    this.#inside = transaction.hasBegunOn(-1)
  }

  /** It is a part of the client's transaction there. */
  get inside(): boolean {
    return this.#inside
  }

  async begin(): Promise<void> {
    this.#open = true
    await this.query(this.#inside ? `SAVEPOINT ${SAVEPOINT}` : 'BEGIN READ WRITE')
  }

  /** Runs an item; throws the error that its answer holds. */
  async run(item: LocalItem): Promise<LaneResult> {
    const run = this.#send(item)
    const result = await run.promise
    const error = firstErrorMessage(result.output)
    if (error !== undefined) throw SqlError.fromBytes(error)
    return result
  }

  /** ROLLBACK TO and the like: no settings go with it, they would be undone. */
  control(sql: string): Promise<LaneResult> {
    return this.run({ bytes: queryMessage(sql), syncs: 1, write: false, settings: undefined })
  }

  query(sql: string, settings?: LaneItem['settings']): Promise<LaneResult> {
    return this.run({
      bytes: queryMessage(sql),
      syncs: 1,
      write: false,
      ...(settings === undefined ? {} : { settings }),
    })
  }

  /** Undoes the work. Never rejects when the lane is well. */
  async rollback(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    if (this.#inside) await this.control(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}; RELEASE SAVEPOINT ${SAVEPOINT}`)
    else await this.#end('ROLLBACK')
  }

  /** Makes the draws of sequences durable, everything else having been rolled back; in the client's transaction its COMMIT does that. */
  async keepSequences(): Promise<void> {
    if (this.#inside) return this.rollback()
    this.#open = false
    await this.#end('COMMIT')
  }

  cancel(): void {
    for (const run of this.#runs) run.cancel()
  }

  async #end(sql: 'ROLLBACK' | 'COMMIT'): Promise<void> {
    const ended = this.#send({
      bytes: queryMessage(sql),
      syncs: 1,
      write: sql === 'COMMIT',
      settings: undefined,
    })
    // Whoever enters the lane now runs behind it.
    this.#transaction.giveBack(-1)
    const result = await ended.promise
    const error = firstErrorMessage(result.output)
    if (error !== undefined) throw SqlError.fromBytes(error)
  }

  #send(item: LocalItem): LaneRun {
    const whole = { ...item, settings: 'settings' in item ? item.settings : this.#scope.settings }
    const run = this.#inside ? this.#transaction.run(-1, whole) : this.#transaction.runApart(-1, whole)
    this.#runs.add(run)
    const done = () => this.#runs.delete(run)
    run.promise.then(done, done)
    return run
  }
}
