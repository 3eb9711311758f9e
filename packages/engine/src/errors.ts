/**
 * The errors of the engine. Each names its subject and tells what to do next; `retryable` says whether the same call can
 * succeed later without anybody doing something.
 */

/** What every error of this package is. */
export abstract class EngineError extends Error {
  abstract readonly code: string
  /** SQLSTATE for a client that this error reaches. */
  abstract readonly sqlState: string
  readonly retryable: boolean = false
}

/** Another process (or this one, a second time) holds the instance folder. Invariant I7. */
export class EngineLocked extends EngineError {
  readonly code = 'ENGINE_LOCKED'
  readonly sqlState = '55006'
  readonly folder: string
  /** Process that holds it; undefined when the lock file could not be read. */
  readonly pid: number | undefined

  constructor(folder: string, pid: number | undefined) {
    const holder =
      pid === undefined
        ? 'another process'
        : pid === process.pid
          ? `this process (pid ${pid}), a second time`
          : `process ${pid}`
    super(
      `the instance folder ${folder} is in use by ${holder}: stop that instance first; two engines on one data directory destroy it`,
    )
    this.name = 'EngineLocked'
    this.folder = folder
    this.pid = pid
  }
}

/** PostgreSQL did not start on the data directory, or the directory cannot be used as asked. */
export class EngineRefused extends EngineError {
  readonly code = 'ENGINE_REFUSED'
  readonly sqlState = '58000'
  /** PostgreSQL's last log lines, oldest first. */
  readonly log: readonly string[]

  constructor(message: string, options: { readonly log?: readonly string[]; readonly cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.name = 'EngineRefused'
    this.log = options.log ?? []
  }
}

/** The backend is gone (PANIC, FATAL, failed fsync, crash of the worker). The fate of requests that were running is unknown. */
export class EngineDied extends EngineError {
  readonly code = 'ENGINE_DIED'
  readonly sqlState = '57P02'
  /** PostgreSQL's last log lines, oldest first. */
  readonly log: readonly string[]

  constructor(message: string, options: { readonly log?: readonly string[]; readonly cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.name = 'EngineDied'
    this.log = options.log ?? []
  }
}

/** The request was cancelled before it began, or the backend was restarted because it could not be interrupted. */
export class EngineCancelled extends EngineError {
  readonly code = 'ENGINE_CANCELLED'
  readonly sqlState = '57014'
  readonly tag: number
  /** True when the request had written WAL before the backend was restarted: parts of it that committed by themselves (or its
   * commit, in a narrow window) may be in the database. False: nothing of it is. */
  readonly mayHaveCommitted: boolean

  constructor(tag: number, mayHaveCommitted: boolean) {
    super(
      `canceling statement due to user request (request ${tag}${mayHaveCommitted ? '; the backend was restarted, parts of the request may have committed' : ''})`,
    )
    this.name = 'EngineCancelled'
    this.tag = tag
    this.mayHaveCommitted = mayHaveCommitted
  }
}

/** The engine is not running (stopped, stopping, not started), or is in the other role. */
export class EngineStopped extends EngineError {
  readonly code = 'ENGINE_STOPPED'
  readonly sqlState = '57P01'

  constructor(message: string) {
    super(message)
    this.name = 'EngineStopped'
  }
}

/** The bytes of a request are not what `EngineRequest` asks for. The request was not run, or the backend was brought back in step. */
export class EngineProtocolError extends EngineError {
  readonly code = 'ENGINE_PROTOCOL'
  readonly sqlState = '08P01'

  constructor(message: string) {
    super(message)
    this.name = 'EngineProtocolError'
  }
}
