/** The logger that actors get: pino's, or a recorder in tests. */
export interface Logger {
  debug(fields: object, sentence: string): void
  info(fields: object, sentence: string): void
  warn(fields: object, sentence: string): void
  error(fields: object, sentence: string): void
  /** A logger that adds these fields to each line. */
  child(fields: object): Logger
}

/** Writes nothing, ever; what a line would say to it need not be put together. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
}
