/**
 * The engine port's real side: PGlite in a worker thread, on one instance folder.
 *
 * Started by the instance actor (`startPrimary`, `startMirror`); ends with `stop`, or by itself with `onDeath`. Promises what
 * engine-port.ts says. This file knows which role the folder plays and what may be asked in it; the worker is in
 * host/backend.ts, requests in host/request-queue.ts and completions.ts, fsync of WAL in host/wal-sync.ts, cancel in
 * host/canceller.ts.
 */
import { mkdir } from 'node:fs/promises'
import type { Lsn, Timeline } from '@mirabelle/messages'
import type { EnginePort, EngineRequest, EngineResult, EngineStarted, WalChunk } from './engine-port.ts'
import { EngineDied, EngineProtocolError, EngineStopped } from './errors.ts'
import { Backend, type BackendStarted, type Received } from './host/backend.ts'
import { Canceller } from './host/canceller.ts'
import { readBaseStart } from './control-file.ts'
import { checkDataDirectory, checkMayBePrimary, checkMayFollow } from './host/check-folder.ts'
import { Completions } from './host/completions.ts'
import { RequestQueue, type Pending } from './host/request-queue.ts'
import { WalSync } from './host/wal-sync.ts'
import { instancePaths, WAL_SEGMENT_BYTES, type InstancePaths } from './layout.ts'
import { lockFolder, type FolderLock } from './lock.ts'
import type { EngineLogger, EngineOptions, SetTimer } from './options.ts'
import { Field } from './shared/shared-state.ts'
import type { Report } from './shared/worker-protocol.ts'

type Phase = 'stopped' | 'starting' | 'primary' | 'restarting' | 'mirror' | 'promoting' | 'stopping' | 'dead'

/** How long a fast stop waits for the running request to end after it was interrupted, in ms. */
const STOP_GRACE_MS = 3000

export class PgliteEngine implements EnginePort {
  onWal: (chunk: WalChunk) => void = () => undefined
  onDeath: (error: Error) => void = () => undefined

  readonly #paths: InstancePaths
  readonly #segmentBytes: number
  readonly #logger: EngineLogger
  readonly #setTimer: SetTimer
  readonly #backend: Backend
  readonly #queue = new RequestQueue()
  readonly #completions: Completions
  /** Where the base of a mirror begins to be replayed. */
  #baseLsn: Lsn = 0
  readonly #walSync: WalSync
  readonly #canceller: Canceller
  #phase: Phase = 'stopped'
  #lock: FolderLock | undefined
  /** The lock is kept while the engine is stopped. */
  #claimed = false
  #pumpQueued = false
  #death: EngineDied | undefined
  /** Mirror: what `walArrived` last said. */
  #received: Received = { timeline: 0, receivedEnd: 0 }
  /** A restart of the backend that is under way: without a request, or on a newer timeline. */
  #restart: Promise<void> | undefined

  constructor(options: EngineOptions) {
    this.#paths = instancePaths(options.dataDir)
    this.#segmentBytes = options.walSegmentBytes ?? WAL_SEGMENT_BYTES
    this.#logger = options.logger
    this.#setTimer = options.setTimer
    this.#backend = new Backend({
      root: this.#paths.root,
      segmentBytes: this.#segmentBytes,
      settings: Object.entries(options.settings ?? {}).map(([name, value]) => `${name}=${value}`),
      logger: options.logger,
      onReport: (report) => this.#onReport(report),
      onOutput: (seq, chunk) => this.#handOut(seq, chunk),
      onDied: (reason, cause) => this.#die(reason, cause),
    })
    this.#completions = new Completions(this.#queue, (chunk) => this.onWal(chunk))
    this.#walSync = new WalSync(this.#paths.pgWal, this.#segmentBytes, (error) =>
      this.#die(`WAL could not be made durable: ${error.message}`, error),
    )
    this.#canceller = new Canceller(this.#queue, options.setTimer, (victim) => this.#restartWithout(victim))
  }

  startPrimary(): Promise<EngineStarted> {
    return this.#start(
      async () => checkMayBePrimary(this.#paths),
      async () => this.#opened(await this.#backend.start()),
    )
  }

  startMirror(received: Received): Promise<EngineStarted> {
    if (this.#phase === 'stopped') this.#received = received
    return this.#start(
      async () => {
        await mkdir(this.#paths.receivedWal, { recursive: true, mode: 0o700 })
        const base = await readBaseStart(this.#paths.pgdata)
        await checkMayFollow(this.#paths, base, received.timeline)
        this.#baseLsn = base.startLsn
      },
      async () => this.#recovering(await this.#backend.start(this.#received)),
    )
  }

  walArrived(timeline: Timeline, end: Lsn): void {
    if (!['starting', 'mirror', 'restarting'].includes(this.#phase)) return
    const known = this.#received
    this.#received = { timeline, receivedEnd: end }
    // Recovery looks for new timelines only when it starts.
    if (timeline > known.timeline && this.#phase !== 'starting')
      this.#restartBackend(() => this.#followTimeline())
    else {
      this.#backend.state?.set(Field.live, 1)
      this.#backend.state?.setReceived(timeline, end)
    }
  }

  replayLsn(): Lsn {
    // PostgreSQL tells no position before its first restored segment is whole: until then it stands where its base begins.
    return Math.max(this.#backend.replayLsn, this.#baseLsn)
  }

  async promote(): Promise<EngineStarted> {
    await this.#restart
    if (this.#phase !== 'mirror') {
      throw new EngineStopped(
        `cannot promote ${this.#paths.root}: the engine is ${this.#phase}, not a mirror`,
      )
    }
    this.#phase = 'promoting'
    try {
      return this.#opened(await this.#backend.promote())
    } catch (error) {
      this.#die(`promotion failed: ${(error as Error).message}`, error)
      throw error
    }
  }

  submit(request: EngineRequest): Promise<EngineResult> {
    if (!this.#isPrimary()) return Promise.reject(this.#notPrimary(`request ${request.tag}`))
    const preamble = request.preambleSyncs ?? 0
    if (request.syncs < 1 || preamble < 0 || preamble > request.syncs) {
      const counts = `${request.syncs} syncs, ${preamble} of them in the preamble`
      return Promise.reject(new EngineProtocolError(`request ${request.tag}: ${counts} make no sense`))
    }
    return new Promise((resolve, reject) => {
      this.#queue.add({ request, seq: 0, resolve, reject, handedOut: Promise.resolve(), done: false })
      this.#pumpSoon()
    })
  }

  cancel(tag: number, graceMs: number): void {
    this.#canceller.cancel(tag, graceMs, this.#backend.state)
  }

  syncWal(): Promise<Lsn> {
    return this.#isPrimary() ? this.#walSync.sync() : Promise.reject(this.#notPrimary('cannot sync WAL'))
  }

  flushLsn(): Lsn {
    return this.#completions.flushLsn
  }

  async stop(mode: 'fast' | 'immediate'): Promise<void> {
    if (this.#phase === 'stopped' || this.#phase === 'stopping') return
    const inOrder = mode === 'fast' && this.#phase === 'primary'
    this.#phase = 'stopping'
    await this.#restart
    this.#canceller.cancelAll(this.#backend.state)
    if (inOrder) await this.#backend.shutDown(STOP_GRACE_MS, this.#setTimer)
    else await this.#backend.terminate()
    for (const pending of this.#queue.drain()) {
      pending.reject(new EngineStopped(`request ${pending.request.tag}: the engine was stopped`))
    }
    this.#canceller.clear()
    await this.#walSync.close()
    await this.#releaseLock()
    this.#phase = 'stopped'
  }

  async #start(check: () => Promise<void>, begin: () => Promise<EngineStarted>): Promise<EngineStarted> {
    if (this.#phase !== 'stopped') {
      throw new EngineStopped(`cannot start ${this.#paths.root}: the engine is ${this.#phase}`)
    }
    this.#phase = 'starting'
    this.#death = undefined
    try {
      await checkDataDirectory(this.#paths, this.#segmentBytes)
      this.#lock ??= await lockFolder(this.#paths.root)
      await check()
      // It may have been stopped while it waited for the disk.
      if (this.#phase !== 'starting')
        throw new EngineStopped(`${this.#paths.root} was stopped while it started`)
      return await begin()
    } catch (error) {
      await this.#backend.terminate()
      await this.#releaseLock()
      if (this.#phase === 'starting') this.#phase = 'stopped'
      throw error
    }
  }

  async claim(): Promise<void> {
    this.#lock ??= await lockFolder(this.#paths.root)
    this.#claimed = true
  }

  async unclaim(): Promise<void> {
    this.#claimed = false
    if (this.#phase === 'stopped') await this.#releaseLock()
  }

  async #releaseLock(): Promise<void> {
    if (this.#claimed) return
    const lock = this.#lock
    this.#lock = undefined
    await lock?.release()
  }

  #opened(started: BackendStarted): EngineStarted {
    if (started.state !== 'open' || this.#backend.state === undefined)
      throw new EngineDied('the backend did not open')
    const { timeline, lsn, walWrites } = started
    this.#completions.generation++
    this.#walSync.reset(this.#backend.state, timeline, lsn, walWrites)
    if (this.#phase !== 'restarting') {
      this.#completions.begin(lsn)
      this.#phase = 'primary'
    }
    return { generation: this.#completions.generation, timeline, lsn }
  }

  #recovering(started: BackendStarted): EngineStarted {
    if (started.state !== 'recovering') throw new EngineDied('the backend opened without being promoted')
    this.#phase = 'mirror'
    return {
      generation: this.#completions.generation,
      timeline: this.#received.timeline,
      lsn: started.replay,
      baseLsn: this.#baseLsn,
    }
  }

  #onReport(report: Report): void {
    const state = this.#backend.state
    if (state === undefined) return
    state.addAndWake(Field.walTaken, report.walEnd - report.walStart)
    this.#walSync.wrote(report.timeline, report.walEnd, report.walWritten, report.walWrites)
    this.#completions.report(report)
    this.#canceller.refresh(state)
    if (!report.batchDone) return
    this.#queue.batchDone()
    this.#pump()
  }

  #handOut(seq: number, chunk: Uint8Array): void {
    const state = this.#backend.state
    const pending = this.#queue.outstanding(seq)
    const take = pending?.request.onOutput
    const taken = (): void => state?.addAndWake(Field.outputTaken, chunk.length)
    if (pending === undefined || take === undefined) {
      taken()
      return
    }
    pending.handedOut = pending.handedOut.then(() => take(chunk)).finally(taken)
    // The request's own promise tells of the failure; what is still to come of its output is for nobody.
    pending.handedOut.catch(() =>
      this.#canceller.cancel(pending.request.tag, Number.POSITIVE_INFINITY, state),
    )
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
    for (let batch = this.#queue.nextBatch(); batch !== undefined; batch = this.#queue.nextBatch()) {
      this.#backend.send({ type: 'run', requests: batch.requests, bytes: batch.bytes }, [batch.bytes.buffer])
    }
  }

  #restartBackend(restart: () => Promise<void>): void {
    const before = this.#restart ?? Promise.resolve()
    this.#phase = 'restarting'
    const running = before.then(restart).catch((error: unknown) => {
      this.#die(`restart failed: ${(error as Error).message}`, error)
    })
    this.#restart = running
    void running.then(() => {
      if (this.#restart === running) this.#restart = undefined
    })
  }

  /** Ends a request that cannot be interrupted: the backend starts again, everything that waits goes on after it. */
  #restartWithout(victim: Pending): void {
    if (this.#phase !== 'primary') return
    const fields = { dataDir: this.#paths.root, tag: victim.request.tag, lsn: this.flushLsn() }
    this.#logger.warn(fields, 'a cancelled request cannot be interrupted: the backend is restarted')
    this.#backend.state?.set(Field.halt, 1)
    this.#restartBackend(async () => {
      const left = await this.#backend.terminate()
      if (left === undefined || this.#phase !== 'restarting') return
      const records = left.journal.read()
      const finished = new Set(records.map((record) => record.seq))
      const again = this.#canceller.sortOut(victim, left.state.get(Field.running), finished, left.state)
      const started = this.#opened(await this.#backend.start())
      this.#completions.restarted(started.timeline, started.lsn, records)
      this.#queue.putInFront(again)
      if (this.#phase !== 'restarting') return
      this.#phase = 'primary'
      this.#pump()
    })
  }

  async #followTimeline(): Promise<void> {
    await this.#backend.terminate()
    if (this.#phase === 'restarting') this.#recovering(await this.#backend.start(this.#received))
  }

  #die(reason: string, cause?: unknown): void {
    if (this.#phase === 'dead' || this.#phase === 'stopping' || this.#phase === 'stopped') return
    this.#phase = 'dead'
    const { log } = this.#backend
    const error = new EngineDied(`PostgreSQL on ${this.#paths.pgdata} died: ${reason}`, { log, cause })
    this.#death = error
    this.#logger.error({ dataDir: this.#paths.root, log }, error.message)
    void this.#backend.terminate()
    for (const pending of this.#queue.drain()) pending.reject(error)
    this.onDeath(error)
  }

  #isPrimary(): boolean {
    return this.#phase === 'primary' || (this.#phase === 'restarting' && this.#completions.generation > 0)
  }

  #notPrimary(what: string): Error {
    return this.#death ?? new EngineStopped(`${what}: the engine is ${this.#phase}`)
  }
}
