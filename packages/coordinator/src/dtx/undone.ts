/** What the client of a transaction is told that was undone through no fault of its own: 40001, run it again. */
import type { Content } from '@mirabelle/messages'
import { SqlError } from '../errors.ts'
import type { LaneLost } from '../lanes/lane-item.ts'

export function undone(message: string, cause?: unknown): SqlError {
  return new SqlError('40001', message, { hint: 'Nothing was changed. Run the transaction again.', cause })
}

/** The error says so; it is none that PostgreSQL gave. */
export function isUndone(error: unknown): boolean {
  return error instanceof SqlError && error.sqlstate === '40001' && error.wire === undefined
}

/** A segment failed over that it had touched. */
export function lostInTransaction(lost: LaneLost): SqlError {
  return undone(`could not complete the transaction: content ${lost.content} failed over`, lost)
}

/** It held a lane that the recording of a change of roles needed. */
export function madeWayForRoles(): SqlError {
  return undone('the transaction made way for a change of roles of the cluster')
}

/** It held lanes that others waited for, for the sake of these contents. */
export function madeWay(contents: readonly Content[]): SqlError {
  return undone(
    `the transaction made way: content ${contents.join(', ')} fails over, and others waited for what it held meanwhile`,
  )
}
