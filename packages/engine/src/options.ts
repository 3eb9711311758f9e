/** How an engine is made. */

/** The part of a logger that the engine uses (pino's order of arguments). */
export interface EngineLogger {
  debug(fields: object, sentence: string): void
  info(fields: object, sentence: string): void
  warn(fields: object, sentence: string): void
  error(fields: object, sentence: string): void
}

/** Calls `fn` after `ms`; the answer stops it. */
export type SetTimer = (ms: number, fn: () => void) => { clear(): void }

export interface EngineOptions {
  /** The instance folder D; PostgreSQL's directory is D/pgdata. */
  readonly dataDir: string
  /** Settings for PostgreSQL, over the engine's own. */
  readonly settings?: Readonly<Record<string, string>>
  readonly logger: EngineLogger
  /** Timer for the grace of `cancel`. */
  readonly setTimer: SetTimer
  /** Size of WAL segment files, in bytes; as the template was made. */
  readonly walSegmentBytes?: number
}
