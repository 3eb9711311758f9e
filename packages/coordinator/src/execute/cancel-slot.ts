/**
 * How the statement that a session runs can be stopped: by the client, by a timeout, or to make way for a role change.
 * `begin` opens it for a statement, `end` closes it; in between whoever runs or waits says how it is stopped.
 */
import type { Cancellation } from '../lanes/cancellation.ts'
import { SqlError } from '../errors.ts'

export type CancelReason = 'user' | 'timeout' | 'preempted' | 'closed'

export class CancelSlot implements Cancellation {
  #active = false
  #reason: CancelReason | undefined
  #cancel: (() => void) | undefined

  begin(): void {
    this.#active = true
    this.#reason = undefined
    this.#cancel = undefined
  }

  end(): void {
    this.#active = false
    this.#cancel = undefined
  }

  get reason(): CancelReason | undefined {
    return this.#reason
  }

  /** What is under way now is stopped like this; at once when the order has come already. */
  set(cancel: (() => void) | undefined): void {
    this.#cancel = cancel
    if (this.#reason !== undefined && cancel !== undefined) cancel()
  }

  /** Stops the statement. Does nothing when none is under way. */
  fire(reason: CancelReason): void {
    if (!this.#active || this.#reason !== undefined) return
    this.#reason = reason
    this.#cancel?.()
  }

  /** A preempted read runs again: the order has been carried out. */
  reset(): void {
    this.#reason = undefined
  }

  /** What was to make way came to its end first: the order is not for what the statement does next. */
  outran(): void {
    if (this.#reason === 'preempted') this.#reason = undefined
  }

  /** Throws when an order to stop has come. */
  check(): void {
    if (this.#reason !== undefined) throw this.error()
  }

  /** What the client is told. */
  error(): SqlError {
    switch (this.#reason) {
      case 'timeout':
        return new SqlError('57014', 'canceling statement due to statement timeout')
      case 'preempted':
        return new SqlError('40001', 'the statement made way for a change of roles of the cluster', {
          hint: 'Run the transaction again.',
        })
      default:
        return new SqlError('57014', 'canceling statement due to user request')
    }
  }
}
