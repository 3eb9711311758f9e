/**
 * Every error that this package raises by itself, with its SQLSTATE. Errors of PostgreSQL pass through as protocol bytes
 * and are not listed here. The table of README.md is compared with `PGWIRE_ERRORS` in a test.
 */

/** Severities of ErrorResponse and NoticeResponse, as PostgreSQL spells them. */
export type Severity = 'ERROR' | 'FATAL' | 'PANIC' | 'WARNING' | 'NOTICE' | 'DEBUG' | 'INFO' | 'LOG'

/** All fields of an ErrorResponse or NoticeResponse. Positions and lines are numbers counted from 1. */
export interface ErrorFields {
  readonly severity: Severity
  /** SQLSTATE: five characters. */
  readonly code: string
  readonly message: string
  readonly detail?: string
  readonly hint?: string
  /** Character index into the statement, from 1. */
  readonly position?: number
  readonly internalPosition?: number
  readonly internalQuery?: string
  readonly where?: string
  readonly schema?: string
  readonly table?: string
  readonly column?: string
  readonly dataType?: string
  readonly constraint?: string
  readonly file?: string
  readonly line?: number
  readonly routine?: string
}

/** An error that a client may be told: it carries what an ErrorResponse needs. */
export class PgError extends Error {
  readonly fields: ErrorFields

  constructor(fields: ErrorFields, options?: { cause?: unknown }) {
    super(fields.message, options)
    this.name = 'PgError'
    this.fields = fields
  }

  get code(): string {
    return this.fields.code
  }

  get severity(): Severity {
    return this.fields.severity
  }
}

export interface CatalogueEntry {
  /** SQLSTATE. */
  readonly code: string
  readonly severity: Severity
  /** When it is raised. */
  readonly when: string
  /** True if the same client may try again later without changing anything. */
  readonly retryable: boolean
}

/** The catalogue: name of the condition to its SQLSTATE, severity, cause and whether to retry. */
export const PGWIRE_ERRORS = {
  protocolViolation: {
    code: '08P01',
    severity: 'FATAL',
    when: 'a message has a bad length, type or format, or comes at the wrong time',
    retryable: false,
  },
  unsupportedProtocol: {
    code: '0A000',
    severity: 'FATAL',
    when: 'the client asks for a protocol other than 3.x, or for a replication connection',
    retryable: false,
  },
  invalidText: {
    code: '22021',
    severity: 'ERROR',
    when: 'a string in a message is not valid UTF-8',
    retryable: false,
  },
  invalidAuthorization: {
    code: '28000',
    severity: 'FATAL',
    when: 'the startup packet names no user, or the policy refuses this user, address or encryption',
    retryable: false,
  },
  invalidPassword: {
    code: '28P01',
    severity: 'FATAL',
    when: 'the password is wrong, or the user does not exist, or has no password',
    retryable: false,
  },
  invalidDatabase: {
    code: '3D000',
    severity: 'FATAL',
    when: 'the database does not exist (there is only "postgres")',
    retryable: false,
  },
  tooManyConnections: {
    code: '53300',
    severity: 'FATAL',
    when: 'max_connections sessions are open (less those that are kept for superusers)',
    retryable: true,
  },
  authenticationTimeout: {
    code: '57014',
    severity: 'FATAL',
    when: 'authentication_timeout passed before the client was authenticated',
    retryable: true,
  },
  adminShutdown: {
    code: '57P01',
    severity: 'FATAL',
    when: 'the server stops, or an administrator ends the session',
    retryable: true,
  },
  cannotConnectNow: {
    code: '57P03',
    severity: 'FATAL',
    when: 'the server is starting, stopping or in recovery',
    retryable: true,
  },
  connectionStalled: {
    code: '08006',
    severity: 'FATAL',
    when: 'the client has not read its results for client_write_timeout (only logged: the client does not read)',
    retryable: true,
  },
  internal: {
    code: 'XX000',
    severity: 'FATAL',
    when: 'a session or a hook failed in a way it did not expect (logged with its cause)',
    retryable: true,
  },
} as const satisfies Record<string, CatalogueEntry>

export type PgwireErrorName = keyof typeof PGWIRE_ERRORS

/** Makes an error of the catalogue. `more` adds detail, hint and the rest; its severity can be overridden too. */
export function pgwireError(
  name: PgwireErrorName,
  message: string,
  more: Partial<ErrorFields> = {},
  cause?: unknown,
): PgError {
  const { code, severity } = PGWIRE_ERRORS[name]
  return new PgError({ code, severity, ...more, message }, cause === undefined ? undefined : { cause })
}

/** A message of the peer that breaks the protocol: FATAL 08P01. */
export function protocolViolation(message: string, more: Partial<ErrorFields> = {}): PgError {
  return pgwireError('protocolViolation', message, more)
}

/** Turns whatever was thrown into something that a client may be told, without leaking what is inside. */
export function toPgError(thrown: unknown): PgError {
  if (thrown instanceof PgError) return thrown
  return pgwireError(
    'internal',
    'internal error: the session cannot go on',
    { hint: 'The log of the server holds the cause. Connect again.' },
    thrown,
  )
}
