/** What the rejection of one request means for whoever dispatched it: the end of this statement, or of everything that runs there. */
import { isMirabelleError } from '@mirabelle/messages'

export interface StatementFailure {
  /** Code of the error page, or null when the whole lane is lost and not this statement alone. */
  readonly code: 'cancelled' | 'message.bad' | 'internal' | null
  readonly message: string
}

/** Codes of the engine port's errors that end one statement and leave the lane as it is. */
const ofOneStatement: Readonly<Record<string, StatementFailure['code']>> = {
  ENGINE_CANCELLED: 'cancelled',
  ENGINE_PROTOCOL: 'message.bad',
}

export function statementFailure(error: unknown): StatementFailure {
  const message = error instanceof Error ? error.message : String(error)
  if (isMirabelleError(error, 'cancelled')) return { code: 'cancelled', message }
  const code = (error as { code?: unknown } | null)?.code
  return { code: typeof code === 'string' ? (ofOneStatement[code] ?? null) : null, message }
}
