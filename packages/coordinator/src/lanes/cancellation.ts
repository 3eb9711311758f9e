/** How the owner of a statement is told what to call when it wants the statement to end. */
import { SqlError } from '../errors.ts'

/** Cancels what runs or waits for a session. */
export interface Cancellation {
  /** Called with the way to cancel what is under way now; undefined when nothing is. */
  set(cancel: (() => void) | undefined): void
}

/** What a statement ends with that was cancelled while it waited. */
export function cancelled(): SqlError {
  return new SqlError('57014', 'canceling statement due to user request')
}
