/**
 * The engine port's real side: PGlite in a worker thread, on one instance folder.
 *
 * Started by the instance actor (`startPrimary`, `startMirror`); ends with `stop`, or by itself with `onDeath`. Promises what
 * engine-port.ts says. This file knows the life of the backend; requests are in host/request-queue.ts and completions.ts,
 * fsync of WAL in host/wal-sync.ts, cancel in host/canceller.ts.
 */
import { mkdir } from 'node:fs/promises'
import { formatLsn, INVALID_LSN, type Lsn, type Timeline } from '@mirabelle/messages'
import type { EnginePort, EngineRequest, EngineResult, EngineStarted, WalChunk } from './engine-port.ts'
import {
  EngineDied,
  EngineProtocolError,
  EngineRefused,
  EngineStaleGeneration,
  EngineStopped,
} from './errors.ts'
import { Canceller } from './host/canceller.ts'
import { checkDataDirectory, checkMayBePrimary, checkMayFollow } from './host/check-folder.ts'
import { Completions } from './host/completions.ts'
import { RequestQueue, type Pending } from './host/request-queue.ts'
import { WalSync } from './host/wal-sync.ts'
import { WorkerHost } from './host/worker-host.ts'
import { instancePaths, WAL_SEGMENT_BYTES, type InstancePaths } from './layout.ts'
import { lockFolder, type FolderLock } from './lock.ts'
import type { EngineLogger, EngineOptions } from './options.ts'
import { Field } from './shared/shared-state.ts'
import type { FromWorker } from './shared/worker-protocol.ts'

type Phase = 'stopped' | 'starting' | 'primary' | 'restarting' | 'mirror' | 'promoting' | 'stopping' | 'dead'

/** A start or promotion that somebody waits for. */
interface Waiter {
  resolve: (started: EngineStarted) => void
  reject: (error: Error) => void
}

export class PgliteEngine implements EnginePort {
  onWal: (chunk: WalChunk) => void = () => undefined
  onDeath: (error: Error) => void = () => undefined

  readonly #paths: InstancePaths
  readonly #segmentBytes: number
  readonly #settings: readonly string[]
  readonly #logger: EngineLogger
  readonly #queue = new RequestQueue()
  readonly #completions: Completions
  readonly #walSync: WalSync
  readonly #canceller: Canceller
  #phase: Phase = 'stopped'
  #lock: FolderLock | undefined
  #host: WorkerHost | undefined
  #waiter: Waiter | undefined
  #deathNote: string | undefined
  #pumpQueued = false
  #death: EngineDied | undefined
  /** Mirror: what `walArrived` last said. */
  #received: { readonly timeline: Timeline; readonly receivedEnd: Lsn } = { timeline: 0, receivedEnd: 0 }
  /** Mirror: a restart of recovery on a newer timeline. */
  #following: Promise<void> | undefined
  /** Takes what a terminated worker leaves, when the termination was for a restart. */
  #restart: Promise<void> | undefined

  constructor(options: EngineOptions) {
    this.#paths = instancePaths(options.dataDir)
    this.#segmentBytes = options.walSegmentBytes ?? WAL_SEGMENT_BYTES
    this.#settings = Object.entries(options.settings ?? {}).map(([name, value]) => `${name}=${value}`)
    this.#logger = options.logger
    this.#completions = new Completions(this.#queue, (chunk) => this.onWal(chunk))
    this.#walSync = new WalSync(this.#paths.pgWal, this.#segmentBytes, (error) =>
      this.#die(`WAL could not be made durable: ${error.message}`, error),
    )
    this.#canceller = new Canceller(this.#queue, options.setTimer, (pending) => this.#restartWithout(pending))
  }

  async startPrimary(): Promise<EngineStarted> {
    return this.#start('primary', () => Promise.resolve(checkMayBePrimary(this.#paths)))
  }

  async startMirror(options: {
    readonly timeline: Timeline
    readonly receivedEnd: Lsn
  }): Promise<EngineStarted> {
    this.#received = options
    return this.#start('mirror', async () => {
      await mkdir(this.#paths.receivedWal, { recursive: true })
      await checkMayFollow(this.#paths, options.timeline)
    })
  }

  walArrived(timeline: Timeline, end: Lsn): void {
    if (this.#phase !== 'mirror' && this.#following === undefined) return
    const known = this.#received
    this.#received = { timeline, receivedEnd: end }
    // Recovery looks for new timelines only when it starts.
    if (timeline > known.timeline) this.#following = this.#followTimeline()
    else this.#host?.state.setReceived(timeline, end)
  }

  replayLsn(): Lsn {
    return this.#host?.state.replay() ?? INVALID_LSN
  }

  async promote(): Promise<EngineStarted> {
    await this.#following
    if (this.#phase !== 'mirror' || this.#host === undefined)
      throw new EngineStopped(`cannot promote: the engine is ${this.#phase}, not a mirror in recovery`)
    this.#phase = 'promoting'
    const host = this.#host
    const started = this.#expectStart()
    host.state.set(Field.promote, 1)
    host.state.addAndWake(Field.walSignal, 1)
    return started
  }

  submit(request: EngineRequest): Promise<EngineResult> {
    if (this.#phase !== 'primary' && this.#phase !== 'restarting') {
      return Promise.reject(
        this.#phase === 'dead'
          ? this.#deathError()
          : new EngineStopped(`request ${request.tag}: the engine is ${this.#phase}`),
      )
    }
    if (request.syncs < 1 || (request.preambleSyncs ?? 0) > request.syncs) {
      return Promise.reject(
        new EngineProtocolError(
          `request ${request.tag}: ${request.syncs} syncs with ${request.preambleSyncs ?? 0} in the preamble make no sense`,
        ),
      )
    }
    return new Promise((resolve, reject) => {
      this.#queue.add({ request, seq: 0, resolve, reject, handedOut: Promise.resolve(), done: false })
      this.#pumpSoon()
    })
  }

  cancel(tag: number, graceMs: number): void {
    this.#canceller.cancel(tag, graceMs, this.#host?.state)
  }

  syncWal(): Promise<Lsn> {
    if (this.#phase !== 'primary' && this.#phase !== 'restarting')
      return Promise.reject(
        this.#phase === 'dead'
          ? this.#deathError()
          : new EngineStopped(`cannot sync WAL: the engine is ${this.#phase}`),
      )
    return this.#walSync.sync()
  }

  flushLsn(): Lsn {
    return this.#completions.flushLsn
  }

  async stop(mode: 'fast' | 'immediate'): Promise<void> {
    if (this.#phase === 'stopped' || this.#phase === 'stopping') return
    const clean = mode === 'fast' && this.#phase === 'primary'
    if (this.#phase !== 'dead') this.#phase = 'stopping'
    await this.#restart
    await this.#following
    const host = this.#host
    for (const pending of clean ? [] : this.#queue.drain())
      pending.reject(new EngineStopped(`request ${pending.request.tag}: the engine was stopped`))
    if (host !== undefined) {
      if (clean) {
        host.send({ type: 'stop' })
        await host.ended
      } else await host.terminate()
    }
    for (const pending of this.#queue.drain())
      pending.reject(new EngineStopped(`request ${pending.request.tag}: the engine was stopped`))
    this.#waiter?.reject(new EngineStopped('the engine was stopped while it started'))
    this.#waiter = undefined
    this.#host = undefined
    this.#canceller.clear()
    await this.#walSync.close()
    await this.#releaseLock()
    this.#phase = 'stopped'
  }

  async #start(role: 'primary' | 'mirror', check: () => Promise<void>): Promise<EngineStarted> {
    if (this.#phase !== 'stopped')
      throw new EngineStopped(`cannot start as ${role}: the engine is ${this.#phase}`)
    this.#phase = 'starting'
    try {
      await checkDataDirectory(this.#paths, this.#segmentBytes)
      this.#lock = await lockFolder(this.#paths.root)
      await check()
      return await this.#spawn(role)
    } catch (error) {
      await this.#host?.terminate()
      this.#host = undefined
      await this.#releaseLock()
      this.#phase = 'stopped'
      throw error
    }
  }

  #expectStart(): Promise<EngineStarted> {
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject }
    })
  }

  #spawn(role: 'primary' | 'mirror'): Promise<EngineStarted> {
    const started = this.#expectStart()
    this.#deathNote = undefined
    const host = new WorkerHost({
      root: this.#paths.root,
      role,
      segmentBytes: this.#segmentBytes,
      settings: this.#settings,
      onMessage: (message) => this.#onMessage(host, message),
      onExit: (error) => this.#onExit(host, error),
    })
    if (role === 'mirror') host.state.setReceived(this.#received.timeline, this.#received.receivedEnd)
    this.#host = host
    return started
  }

  #onMessage(host: WorkerHost, message: FromWorker): void {
    switch (message.type) {
      case 'report':
        host.state.addAndWake(Field.walTaken, message.walEnd - message.walStart)
        this.#walSync.wrote(message.timeline, message.walEnd, message.walWritten, message.walWrites)
        this.#completions.report(message)
        this.#canceller.refresh(host.state)
        if (message.batchDone) {
          this.#queue.batchDone()
          this.#pump()
        }
        return
      case 'output':
        this.#handOut(host, message.seq, message.chunk)
        return
      case 'recovering':
        this.#phase = 'mirror'
        this.#settleStart({
          generation: this.#completions.generation,
          timeline: this.#received.timeline,
          lsn: message.replay,
        })
        return
      case 'ready':
        this.#opened(host, message.timeline, message.lsn, message.walWrites)
        return
      case 'log':
        this.#logger.debug({ dataDir: this.#paths.root }, message.line)
        return
      case 'stopped':
        return
      case 'refused':
      case 'died':
        this.#deathNote = message.message
        return
    }
  }

  #opened(host: WorkerHost, timeline: Timeline, lsn: Lsn, walWrites: number): void {
    this.#completions.generation++
    this.#walSync.reset(host.state, timeline, lsn, walWrites)
    if (this.#phase !== 'restarting') this.#completions.begin(lsn)
    this.#phase = this.#phase === 'restarting' ? 'restarting' : 'primary'
    this.#settleStart({ generation: this.#completions.generation, timeline, lsn })
  }

  #settleStart(started: EngineStarted): void {
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.resolve(started)
  }

  #onExit(host: WorkerHost, thrown: Error | undefined): void {
    if (this.#host !== host || this.#phase === 'stopping' || this.#phase === 'dead') return
    // A restart terminates the worker itself and goes on by itself.
    if (this.#restart !== undefined && this.#waiter === undefined) return
    const reason = this.#deathNote ?? thrown?.message ?? 'the engine thread ended unexpectedly'
    if (this.#phase === 'starting' || (this.#phase === 'restarting' && this.#waiter !== undefined)) {
      const waiter = this.#waiter
      this.#waiter = undefined
      waiter?.reject(
        new EngineRefused(
          `PostgreSQL did not start on ${this.#paths.pgdata}: ${lastFatal(host.log) ?? reason}`,
          { log: host.log, cause: thrown },
        ),
      )
      return
    }
    this.#die(lastFatal(host.log) ?? reason, thrown)
  }

  #die(reason: string, cause?: unknown): void {
    if (this.#phase === 'dead' || this.#phase === 'stopping' || this.#phase === 'stopped') return
    this.#phase = 'dead'
    const error = new EngineDied(`PostgreSQL on ${this.#paths.pgdata} died: ${reason}`, {
      log: this.#host?.log ?? [],
      cause,
    })
    this.#death = error
    this.#logger.error({ dataDir: this.#paths.root, log: error.log }, error.message)
    void this.#host?.terminate()
    this.#waiter?.reject(error)
    this.#waiter = undefined
    for (const pending of this.#queue.drain()) pending.reject(error)
    this.onDeath(error)
  }
  #deathError(): EngineDied {
    return this.#death ?? new EngineDied(`PostgreSQL on ${this.#paths.pgdata} died`)
  }

  /** Submits of one turn of the event loop travel together. */
  #pumpSoon(): void {
    if (this.#pumpQueued) return
    this.#pumpQueued = true
    queueMicrotask(() => {
      this.#pumpQueued = false
      this.#pump()
    })
  }

  #pump(): void {
    if (this.#phase !== 'primary') return
    for (const pending of this.#queue.takeStale(this.#completions.generation)) {
      pending.reject(
        new EngineStaleGeneration(
          pending.request.tag,
          pending.request.generation as number,
          this.#completions.generation,
        ),
      )
    }
    for (let batch = this.#queue.nextBatch(); batch !== undefined; batch = this.#queue.nextBatch()) {
      this.#host?.send({ type: 'run', requests: batch.requests, bytes: batch.bytes }, [batch.bytes.buffer])
    }
  }

  #handOut(host: WorkerHost, seq: number, chunk: Uint8Array): void {
    const pending = this.#queue.outstanding(seq)
    const take = pending?.request.onOutput
    const taken = (): void => host.state.addAndWake(Field.outputTaken, chunk.length)
    if (pending === undefined || take === undefined) {
      taken()
      return
    }
    pending.handedOut = pending.handedOut.then(() => take(chunk)).finally(taken)
    // The request's own promise tells of the failure; what is still to come of its output is for nobody.
    pending.handedOut.catch(() =>
      this.#canceller.cancel(pending.request.tag, Number.POSITIVE_INFINITY, host.state),
    )
  }

  /** Ends a request that cannot be interrupted: the backend starts again, everything that waits goes on after it. */
  #restartWithout(victim: Pending): void {
    const host = this.#host
    if (this.#phase !== 'primary' || host === undefined) return
    this.#logger.warn(
      { dataDir: this.#paths.root, tag: victim.request.tag, lsn: formatLsn(this.flushLsn()) },
      'request cannot be interrupted: the backend is restarted',
    )
    this.#phase = 'restarting'
    this.#restart = this.#doRestart(host, victim)
      .catch((error: unknown) => this.#die(`restart failed: ${(error as Error).message}`, error))
      .finally(() => {
        this.#restart = undefined
      })
  }

  async #doRestart(host: WorkerHost, victim: Pending): Promise<void> {
    host.state.set(Field.halt, 1)
    await host.terminate()
    if (this.#phase !== 'restarting') return
    const records = host.journal.read()
    const finished = new Set(records.map((record) => record.seq))
    const running = host.state.get(Field.running)
    const again = this.#canceller.sortOut(victim, running, finished, host.state)
    const started = await this.#spawn('primary')
    if (this.#phase !== 'restarting') return
    this.#completions.restarted(started.timeline, started.lsn, records)
    this.#queue.putInFront(again)
    this.#phase = 'primary'
    this.#pump()
  }

  async #followTimeline(): Promise<void> {
    const host = this.#host
    await this.#following
    this.#phase = 'starting'
    this.#host = undefined
    await host?.terminate()
    try {
      await this.#spawn('mirror')
    } catch (error) {
      this.#die((error as Error).message, error)
    } finally {
      this.#following = undefined
    }
  }

  async #releaseLock(): Promise<void> {
    const lock = this.#lock
    this.#lock = undefined
    await lock?.release()
  }
}

/** The line in PostgreSQL's log that says why it ended. */
function lastFatal(log: readonly string[]): string | undefined {
  return log.findLast((line) => line.includes('FATAL:') || line.includes('PANIC:'))
}
