/**
 * One PostgreSQL at a time, as the main thread knows it: starting it in a worker, waiting until it is open or recovering,
 * ending it, and telling an expected end from a death.
 *
 * Owned by the engine. Each `start` makes a new worker; whoever waits for a start or a promotion gets an answer whatever happens.
 */
import { formatLsn, INVALID_LSN, type Lsn, type Timeline } from '@mirabelle/messages'
import { faults } from '@mirabelle/runtime'
import { EngineRefused, EngineStopped } from '../errors.ts'
import type { EngineLogger, SetTimer } from '../options.ts'
import { Field, type SharedState } from '../shared/shared-state.ts'
import type { FromWorker, Report } from '../shared/worker-protocol.ts'
import { syncFiles } from './sync-files.ts'
import { compiledPostgres } from './postgres-wasm.ts'
import { WorkerHost } from './worker-host.ts'

/** Where received WAL ends. */
export interface Received {
  readonly timeline: Timeline
  readonly receivedEnd: Lsn
}

/** What a start or a promotion led to. */
export type BackendStarted =
  | { readonly state: 'open'; readonly timeline: Timeline; readonly lsn: Lsn; readonly walWrites: number }
  | { readonly state: 'recovering'; readonly replay: Lsn }

export interface BackendOptions {
  readonly root: string
  readonly segmentBytes: number
  readonly settings: readonly string[]
  readonly logger: EngineLogger
  readonly onReport: (report: Report) => void
  readonly onOutput: (seq: number, chunk: Uint8Array) => void
  /** It ended although nobody asked it to, and nobody waits for a start. */
  readonly onDied: (reason: string, cause: Error | undefined) => void
}

interface Waiter {
  resolve: (started: BackendStarted) => void
  reject: (error: Error) => void
}

export class Backend {
  readonly #options: BackendOptions
  #host: WorkerHost | undefined
  /** A worker that is being ended on purpose. It stays `#host` until it has ended, because its last reports count. */
  #ending: WorkerHost | undefined
  #waiter: Waiter | undefined
  #deathNote: string | undefined
  #syncing: Promise<void> = Promise.resolve()
  #shutDownBegun: () => void = () => undefined

  constructor(options: BackendOptions) {
    this.#options = options
  }

  /** The numbers shared with the worker; undefined when there is none. */
  get state(): SharedState | undefined {
    return this.#host?.state
  }

  /** PostgreSQL's last log lines, oldest first. */
  get log(): readonly string[] {
    return this.#host?.log ?? []
  }

  get replayLsn(): Lsn {
    return this.#host?.state.replay() ?? INVALID_LSN
  }

  /** Starts PostgreSQL. Rejects with EngineRefused when it ends before it is open (primary) or recovering (`received` given). */
  async start(received?: Received): Promise<BackendStarted> {
    const wasm = await compiledPostgres(received === undefined ? 'nothing' : 'all')
    const { root, segmentBytes, settings, logger } = this.#options
    const started = this.#expectStart()
    this.#deathNote = undefined
    const host = new WorkerHost({
      root,
      role: received === undefined ? 'primary' : 'mirror',
      segmentBytes,
      settings,
      wasm,
      faults: faults?.thread.buffer,
      onMessage: (message) => this.#onMessage(host, message),
      onExit: (error) => this.#onExit(host, error),
    })
    if (received !== undefined) {
      host.state.setReceived(received.timeline, received.receivedEnd)
      logger.info({ dataDir: root }, `recovery begins; WAL is here up to ${formatLsn(received.receivedEnd)}`)
    }
    this.#host = host
    return started
  }

  /** Ends recovery where the received WAL ends. */
  promote(): Promise<BackendStarted> {
    const started = this.#expectStart()
    this.#host?.state.set(Field.promote, 1)
    this.#host?.state.addAndWake(Field.walSignal, 1)
    return started
  }

  send(requests: Parameters<WorkerHost['send']>[0], transfer: readonly ArrayBuffer[] = []): void {
    this.#host?.send(requests, transfer)
  }

  /**
   * Shuts PostgreSQL down in order, shutdown checkpoint included; without one when it has not begun to after `graceMs` (a request
   * that cannot be interrupted).
   */
  async shutDown(graceMs: number, setTimer: SetTimer): Promise<void> {
    const host = this.#host
    if (host === undefined) return
    this.#ending = host
    const timer = setTimer(graceMs, () => {
      this.#options.logger.warn(
        { dataDir: this.#options.root },
        'a request cannot be interrupted: stopping without a checkpoint',
      )
      void host.terminate()
    })
    this.#shutDownBegun = () => timer.clear()
    host.send({ type: 'stop' })
    await host.ended
    timer.clear()
    this.#forget()
  }

  /** Ends it wherever it is. Resolves, after its last report came, with what it leaves: shared numbers, unreported results. */
  async terminate(): Promise<WorkerHost | undefined> {
    const host = this.#host
    if (host === undefined) return undefined
    this.#ending = host
    await host.terminate()
    if (this.#host === host) this.#forget()
    return host
  }

  #forget(): void {
    this.#host = undefined
    this.#ending = undefined
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.reject(new EngineStopped('the engine was stopped while it started'))
  }

  #expectStart(): Promise<BackendStarted> {
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject }
    })
  }

  #settleStart(started: BackendStarted): void {
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.resolve(started)
  }

  /** Syncs files for the worker, one group after the other: they must not take all threads that WAL is synced with, nor all descriptors. */
  #syncFor({ state }: WorkerHost, paths: readonly string[]): void {
    this.#syncing = this.#syncing
      .then(() => syncFiles(paths))
      .catch((error: unknown) => {
        this.#options.logger.error(
          { dataDir: this.#options.root, err: error },
          'a file could not be made durable',
        )
        state.set(Field.fileSyncFailed, 1)
      })
      .then(() => state.addAndWake(Field.filesSynced, 1))
  }

  #onMessage(host: WorkerHost, message: FromWorker): void {
    switch (message.type) {
      case 'sync':
        this.#syncFor(host, message.paths)
        return
      case 'report':
        this.#options.onReport(message)
        return
      case 'output':
        this.#options.onOutput(message.seq, message.chunk)
        return
      case 'recovering':
        this.#settleStart({ state: 'recovering', replay: message.replay })
        return
      case 'ready':
        this.#settleStart({
          state: 'open',
          timeline: message.timeline,
          lsn: message.lsn,
          walWrites: message.walWrites,
        })
        return
      case 'log':
        this.#options.logger.debug({ dataDir: this.#options.root }, message.line)
        return
      case 'stopping':
        this.#shutDownBegun()
        return
      case 'stopped':
        return
      case 'refused':
      case 'died':
        this.#deathNote = message.message
        return
    }
  }

  #onExit(host: WorkerHost, thrown: Error | undefined): void {
    // Whoever ends it on purpose goes on by himself.
    if (this.#host !== host || this.#ending === host) return
    const reason = lastFatal(host.log) ?? this.#deathNote ?? thrown?.message
    const waiter = this.#waiter
    this.#waiter = undefined
    if (waiter === undefined) this.#options.onDied(reason ?? 'the engine thread ended unexpectedly', thrown)
    else {
      const sentence = `PostgreSQL did not start on ${this.#options.root}: ${reason ?? 'the engine thread ended'}`
      waiter.reject(new EngineRefused(sentence, { log: host.log, cause: thrown }))
    }
  }
}

/** The line in PostgreSQL's log that says why it ended. */
function lastFatal(log: readonly string[]): string | undefined {
  return log.findLast((line) => line.includes('FATAL:') || line.includes('PANIC:'))
}
