/** The logger of a process: one JSON line per event. Its file is bounded, see LineFile. */
import { isMirabelleError } from '@mirabelle/messages'
import pino from 'pino'
import { LineFile } from './line-file.ts'
import type { Logger } from './logger.ts'

/** Size at which a log file is put aside, bytes; so a log takes twice as much at most. */
export const MAX_LOG_BYTES = 32 * 1024 * 1024

const LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
/** How much is logged. */
export type LogLevel = (typeof LEVELS)[number]

export interface LoggerOptions {
  /** Stands in every line, e.g. `seg0-dbid2`. */
  readonly name: string
  /** Default: the environment variable MIRABELLE_LOG_LEVEL, else `info`. */
  readonly level?: LogLevel
  /** Default: standard output. Missing folders are made. */
  readonly logFile?: string
  readonly maxBytes?: number
}

/** A logger, and what ends it. */
export interface OpenLogger {
  readonly log: Logger
  /** Writes what waits, synchronously. For the end of the process. */
  flush(): void
}

/** Opens the logger of a process. */
export function openLogger(options: LoggerOptions): OpenLogger {
  const { name, level = levelFromEnvironment(), logFile, maxBytes = MAX_LOG_BYTES } = options
  const file = new LineFile(logFile, maxBytes)
  const log = pino(
    {
      name,
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describedError },
    },
    file,
  )
  return { log, flush: () => file.flush() }
}

/**
 * An error as a log line has it. What the cluster expects to go wrong (a peer that is away, a full disk) says so by its code and its sentence, and may do so
 * every second; where in the code that was noticed is told of what nobody expected.
 */
function describedError(error: unknown): unknown {
  if (isMirabelleError(error) && error.code !== 'internal') {
    const { name, code, message, cause } = error
    return { type: name, code, message, ...(cause === undefined ? {} : { cause: describedError(cause) }) }
  }
  if (error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string')
    return { type: error.name, code: (error as NodeJS.ErrnoException).code, message: error.message }
  return error instanceof Error ? pino.stdSerializers.errWithCause(error) : error
}

/** A level from a word; `info` for anything unknown. */
export function parseLogLevel(word: string | undefined): LogLevel {
  return LEVELS.find((level) => level === word) ?? 'info'
}

function levelFromEnvironment(): LogLevel {
  return parseLogLevel(process.env['MIRABELLE_LOG_LEVEL'])
}
