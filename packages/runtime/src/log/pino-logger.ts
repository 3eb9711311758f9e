/**
 * The logger of a process: one JSON line per event, written in the background so that a slow disk or terminal never holds
 * the main thread. A log file is bounded: at its limit it becomes `<file>.1` and a new one begins.
 */
import { existsSync, renameSync, statSync } from 'node:fs'
import pino from 'pino'
import type { Logger } from './logger.ts'

/** Size at which a log file is put aside, bytes; so a log takes twice as much at most. */
export const MAX_LOG_BYTES = 32 * 1024 * 1024
/** Lines that wait to be written, bytes; beyond it lines are dropped. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024

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
  const stream = pino.destination({
    dest: logFile ?? 1,
    sync: false,
    mkdir: true,
    mode: 0o600,
    maxLength: MAX_WAITING_BYTES,
  })
  let written = logFile !== undefined && existsSync(logFile) ? statSync(logFile).size : 0
  let lost = 0
  stream.on('drop', () => lost++)
  // A log that cannot be written (disk full, terminal gone) must not take the process down.
  stream.on('error', () => lost++)
  const destination = {
    write(line: string): void {
      stream.write(line)
      written += line.length
      if (logFile === undefined || written < maxBytes) return
      written = 0
      rotate(logFile, () => stream.reopen())
    },
  }
  const log = pino(
    {
      name,
      level,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: pino.stdSerializers.errWithCause },
    },
    destination,
  )
  return {
    log,
    flush() {
      try {
        if (lost > 0) log.warn({ lost }, 'log lines could not be written')
        stream.flushSync()
      } catch {
        // Nowhere is left to say that the log itself cannot be written.
      }
    },
  }
}

/** A level from a word; `info` for anything unknown. */
export function parseLogLevel(word: string | undefined): LogLevel {
  return LEVELS.find((level) => level === word) ?? 'info'
}

function levelFromEnvironment(): LogLevel {
  return parseLogLevel(process.env['MIRABELLE_LOG_LEVEL'])
}

function rotate(logFile: string, reopen: () => void): void {
  try {
    renameSync(logFile, `${logFile}.1`)
    reopen()
  } catch {
    // The file is gone or cannot be renamed: keep writing to the one that is open.
  }
}
