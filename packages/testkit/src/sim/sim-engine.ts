/**
 * The stand-in engine: the engine port over a small database whose WAL is real PostgreSQL-format WAL on the simulated disk.
 *
 * Made for one instance process; ends with `stop`, by a disk that fails to sync (as PostgreSQL: PANIC), or with its process. It promises what the engine port
 * promises. Recovery, replay and promotion read nothing but the files, so what the disk lost is lost.
 */
import {
  EngineDied,
  EngineLocked,
  EngineRefused,
  EngineStopped,
  type EngineCompletion,
  type EnginePort,
  type EngineRequest,
  type EngineResult,
  type EngineStarted,
  type WalChunk,
} from '@mirabelle/engine'
import type { Lsn, Timeline } from '@mirabelle/messages'
import { encodeWalRecords, segmentStart, type WalPosition } from '@mirabelle/wal'
import { kvWitness, type EngineWitness } from './engine-witness.ts'
import { encodeKv, KvStore, type KvRecord } from './kv-store.ts'
import { KvSession, type KvRun } from './kv-session.ts'
import { isFailure } from './pg-bytes.ts'
import { tornBaseFile } from './sim-copy.ts'
import { hasDatabase, identifierOf, labelOf, walFoldersOf, wrongWithBase } from './sim-base.ts'
import { SimDisk } from './sim-disk.ts'
import { SimWalSync } from './sim-wal-sync.ts'
import type { SimProcess } from './sim-process.ts'
import { SimFailure } from './sim-world.ts'
import {
  clearAfter,
  newestTimeline,
  recoverWal,
  recoverWithoutLast,
  unreadWal,
  walBytes,
  writeHistory,
  writeWal,
  type RecoveredWal,
} from './sim-wal.ts'
import { SIM_SEGMENT_BYTES } from './sim-wal-paths.ts'

const START_MS = [15, 60] as const
const PROMOTE_MS = [10, 60] as const
const RUN_MS = [0.1, 0.5] as const
const REPLAY_LAG_MS = 2
const MAX_BATCH = 8
const MAX_TOLD_OUTPUT = 2048
const BIG_ANSWERS = 0.1
/** Transaction numbers follow the WAL position. */
const XIDS_PER_BYTE = 1024

type Phase = 'stopped' | 'starting' | 'primary' | 'mirror' | 'dead'

interface Pending {
  readonly request: EngineRequest
  readonly resolve: (result: EngineResult) => void
  readonly reject: (error: Error) => void
}

export class SimEngine implements EnginePort {
  onWal: (chunk: WalChunk) => void = () => undefined
  onDeath: (error: Error) => void = () => undefined
  witness: EngineWitness | undefined
  /** What the database holds; a mirror's is filled when it is promoted. */
  store = new KvStore()
  readonly #process: SimProcess
  readonly #disk: SimDisk
  readonly #dataDir: string
  readonly #pgWal: string
  readonly #received: string
  #phase: Phase = 'stopped'
  #session: KvSession | undefined
  #position: WalPosition | undefined
  #queue: Pending[] = []
  #running = false
  #generation = 0
  /** Grows with each start and stop: what was planned before is void. */
  #run = 0
  #arrived: { timeline: Timeline; end: Lsn } = { timeline: 1, end: 0 }
  #replayed: Lsn = 0
  readonly #sync: SimWalSync

  constructor(process: SimProcess, dataDir: string) {
    this.#process = process
    this.#disk = new SimDisk(process)
    this.#dataDir = dataDir
    this.#pgWal = `${dataDir}/pgdata/pg_wal`
    this.#received = `${dataDir}/wal`
    this.#sync = new SimWalSync(this.#disk, process.host.files, {
      end: () => this.flushLsn(),
      run: () => this.#run,
      onFailed: (error) => this.#die(error),
    })
  }

  /** Where WAL is written next; undefined while it is not open for writing. */
  get position(): WalPosition | undefined {
    return this.#phase === 'primary' ? this.#position : undefined
  }

  get timeline(): Timeline {
    return this.#position?.timeline ?? this.#arrived.timeline
  }

  async startPrimary(): Promise<EngineStarted> {
    const run = this.#begin()
    await this.#disk.recovers(this.#dataDir)
    await this.#wait(START_MS, run)
    const folders = walFoldersOf(this.#dataDir)
    const unread = unreadWal(this.#files, this.#pgWal, this.#received)
    if (unread !== undefined) this.#fails('I5', `starts as primary and does not read ${unread}`)
    const recovered = recoverWal(this.#files, folders, newestTimeline(this.#files, folders))
    this.#sync.wrote(clearAfter(this.#files, this.#pgWal, recovered.timeline, recovered.end))
    // A process that was killed leaves WAL in the page cache that nobody has made durable.
    this.#sync.wrote(
      this.#files
        .list(this.#pgWal)
        .slice(-4)
        .map(({ name }) => `${this.#pgWal}/${name}`),
    )
    this.#open(recovered, recovered.timeline)
    return this.#started()
  }

  async startMirror(options: {
    readonly timeline: Timeline
    readonly receivedEnd: Lsn
  }): Promise<EngineStarted> {
    const run = this.#begin()
    this.#arrived = { timeline: options.timeline, end: options.receivedEnd }
    await this.#wait(START_MS, run)
    const { timeline, receivedEnd: lsn } = options
    const wrong = wrongWithBase(this.#process.host, this.#dataDir, timeline, lsn)
    if (wrong !== undefined) this.#fails('I5', wrong)
    this.#phase = 'mirror'
    this.#replayed = lsn
    const baseLsn = labelOf(this.#files, this.#dataDir).startLsn
    return { generation: this.#generation, timeline, lsn, baseLsn }
  }

  walArrived(timeline: Timeline, end: Lsn): void {
    // PostgreSQL looks for the newest timeline only when it starts.
    if (this.#phase !== 'mirror' || timeline !== this.#arrived.timeline) return
    this.#arrived = { timeline, end }
    this.#process.schedule(REPLAY_LAG_MS, () => {
      this.#replayed = Math.max(this.#replayed, end)
    })
  }

  replayLsn(): Lsn {
    return this.#replayed
  }

  async promote(): Promise<EngineStarted> {
    if (this.#phase !== 'mirror') throw new EngineStopped(`cannot promote: the engine is ${this.#phase}`)
    const run = this.#run
    await this.#wait(PROMOTE_MS, run)
    const folders = walFoldersOf(this.#dataDir)
    const { timeline, end } = this.#arrived
    const isShort = this.#process.host.disk.endsEarlyBelow === this.#received
    const recovered = (isShort ? recoverWithoutLast : recoverWal)(this.#files, folders, timeline, end)
    const next = newestTimeline(this.#files, folders) + 1
    const makeDurable = writeHistory(this.#files, this.#pgWal, recovered, next)
    await this.#disk.take(this.#disk.syncMs())
    this.#alive(run)
    makeDurable()
    // The new timeline begins with a copy of what its parent wrote in this segment.
    const segment = segmentStart(recovered.end, SIM_SEGMENT_BYTES)
    const before =
      walBytes(this.#files, folders, timeline, segment, recovered.end, false) ?? new Uint8Array(0)
    this.#sync.wrote(writeWal(this.#files, this.#pgWal, next, segment, before.slice()))
    this.#open(recovered, next)
    await this.syncWal()
    this.#alive(run)
    return this.#started()
  }

  submit(request: EngineRequest): Promise<EngineResult> {
    if (!this.#process.alive) return new Promise(() => undefined)
    if (this.#phase !== 'primary')
      return Promise.reject(new EngineStopped(`request ${request.tag}: the engine is ${this.#phase}`))
    return new Promise((resolve, reject) => {
      this.#queue.push({ request, resolve, reject })
      this.#pump()
    })
  }

  cancel(tag: number, _graceMs: number): void {
    const at = this.#queue.findIndex((one) => one.request.tag === tag)
    const pending = this.#queue[at]
    if (pending === undefined || pending.request.inTransaction === true) return
    this.#queue.splice(at, 1)
    pending.reject(
      Object.assign(new Error('canceling statement due to user request'), { code: 'ENGINE_CANCELLED' }),
    )
  }

  syncWal(): Promise<Lsn> {
    if (this.#phase !== 'primary')
      return Promise.reject(new EngineStopped(`cannot sync WAL: the engine is ${this.#phase}`))
    return this.#sync.syncAll()
  }

  flushLsn(): Lsn {
    return this.#position?.lsn ?? 0
  }

  async stop(mode: 'fast' | 'immediate'): Promise<void> {
    if (this.#phase === 'stopped') return
    if (mode === 'fast' && this.#phase === 'primary') {
      while (this.#queue.length > 0 || this.#running) await this.#disk.take(RUN_MS[1])
      if (this.#phase === 'primary') await this.syncWal()
    }
    this.#phase = 'stopped'
    this.#run++
    this.#failAll(new EngineStopped('the engine was stopped'))
    if (this.#process.host.locks.get(this.#dataDir) === this.#process)
      this.#process.host.locks.delete(this.#dataDir)
  }

  #fails(promise: string, what: string): void {
    this.#process.world.fail(new SimFailure(promise, `${this.#process.name} ${what}`))
  }

  get #files() {
    return this.#process.host.files
  }

  /** Takes the lock of the folder; it is gone with its process. */
  #begin(): number {
    if (this.#phase !== 'stopped') throw new EngineStopped(`cannot start: the engine is ${this.#phase}`)
    const { locks } = this.#process.host
    const holder = locks.get(this.#dataDir)
    if (holder !== undefined && holder.alive && holder !== this.#process)
      throw new EngineLocked(this.#dataDir, holder.pid)
    if (!hasDatabase(this.#files, this.#dataDir)) throw new EngineRefused(`${this.#dataDir}: no database`)
    if (this.#files.file(tornBaseFile(this.#dataDir)) !== undefined)
      this.#fails('torn', 'starts on a base that was copied in part')
    locks.set(this.#dataDir, this.#process)
    this.#phase = 'starting'
    return ++this.#run
  }

  async #wait([low, high]: readonly [number, number], run: number): Promise<void> {
    await this.#disk.take(this.#process.world.random.between(low, high))
    this.#alive(run)
  }

  #alive(run: number): void {
    if (this.#run !== run) throw new EngineStopped('the engine was stopped meanwhile')
  }

  /** The database is what the WAL says; writing goes on at its end. */
  #open(recovered: RecoveredWal, timeline: Timeline): void {
    this.store = new KvStore()
    for (const record of recovered.records) this.store.apply(record)
    this.store.endRecovery()
    this.#phase = 'primary'
    this.#beginSession(recovered.end)
    this.#position = {
      timeline,
      lsn: recovered.end,
      prev: recovered.lastRecord,
      segmentSize: SIM_SEGMENT_BYTES,
      systemIdentifier: identifierOf(this.#files, this.#dataDir),
    }
    // PostgreSQL writes several records, some longer than a commit, before anybody else can.
    this.#append([{ t: 'checkpoint' }, { t: 'checkpoint' }, { t: 'checkpoint' }])
  }

  /** A statement had to be ended by force: the backend starts anew, and what was open in it is rolled back. What is prepared stays. */
  restartBackend(): void {
    if (this.#phase !== 'primary') return
    this.store.endRecovery()
    this.#beginSession(this.flushLsn())
  }

  #beginSession(end: Lsn): void {
    this.#generation++
    const witness = kvWitness(this.#process, () => this.witness)
    this.#session = new KvSession(this.store, end * XIDS_PER_BYTE, witness)
  }

  #started(): EngineStarted {
    return { generation: this.#generation, timeline: this.timeline, lsn: this.flushLsn() }
  }

  /** Writes records to the files. Returns where they lie. */
  #append(records: readonly KvRecord[]): { start: Lsn; end: Lsn; bytes: Uint8Array; ends: readonly Lsn[] } {
    const encoded = encodeWalRecords(
      this.#position as WalPosition,
      records.map((record) => ({ payload: encodeKv(record) })),
    )
    this.#position = encoded.next
    this.#sync.wrote(writeWal(this.#files, this.#pgWal, encoded.next.timeline, encoded.start, encoded.bytes))
    return {
      start: encoded.start,
      end: encoded.next.lsn,
      bytes: encoded.bytes,
      ends: encoded.records.map((one) => one.endLsn),
    }
  }

  #pump(): void {
    if (this.#running || this.#queue.length === 0) return
    this.#running = true
    const run = this.#run
    const { world } = this.#process
    this.#process.schedule(world.random.between(...RUN_MS), () => {
      if (this.#run !== run) return
      this.#runBatch(run)
    })
  }

  /** Runs what waits; its WAL is told in one piece, or in two with nothing complete in the first. */
  #runBatch(run: number): void {
    const { world } = this.#process
    const batch = this.#queue.splice(0, 1 + world.random.below(MAX_BATCH))
    const done: { pending: Pending; ran: KvRun; lsn: Lsn }[] = []
    const records: KvRecord[] = []
    const counts: number[] = []
    const runs: { pending: Pending; ran: KvRun }[] = []
    for (const pending of batch) {
      const { request } = pending
      const ran = (this.#session as KvSession).run(request)
      if (request.mustSucceed === true && isFailure(ran.output)) {
        this.#die(new EngineDied('a request that must succeed has failed'))
        return
      }
      records.push(...ran.records)
      counts.push(records.length)
      runs.push({ pending, ran })
    }
    const before = this.flushLsn()
    const written = this.#append(records)
    const completed: EngineCompletion[] = []
    runs.forEach(({ pending, ran }, i) => {
      const count = counts[i] as number
      const lsn = count === 0 ? before : (written.ends[count - 1] as Lsn)
      done.push({ pending, ran, lsn })
      if (ran.records.length === 0) return
      const isSmall = ran.output.length <= MAX_TOLD_OUTPUT && !world.random.chance(BIG_ANSWERS)
      completed.push({ tag: pending.request.tag, lsn, ...(isSmall ? { output: ran.output } : {}) })
    })
    const finish = (): void => {
      this.#running = false
      for (const { pending, ran, lsn } of done) void this.#answer(pending, ran, lsn)
      this.#pump()
    }
    const { timeline } = this
    const { start, end, bytes } = written
    if (end === start) return finish()
    if (completed.length > 0) this.witness?.completed(completed)
    // Nothing may be complete in WAL that is told without the request.
    const whole = (completed[0]?.lsn ?? end) - start
    const cut = world.random.chance(0.1) ? start + 8 * world.random.below(whole / 8) : start
    if (cut === start) {
      this.onWal({ timeline, start, end, bytes, completed })
      return finish()
    }
    this.onWal({ timeline, start, end: cut, bytes: bytes.subarray(0, cut - start), completed: [] })
    this.#process.schedule(world.random.between(...RUN_MS), () => {
      if (this.#run !== run) return
      this.onWal({ timeline, start: cut, end, bytes: bytes.subarray(cut - start), completed })
      finish()
    })
  }

  async #answer({ request, resolve, reject }: Pending, ran: KvRun, lsn: Lsn): Promise<void> {
    const result = { tag: request.tag, lsn, txStatus: ran.txStatus, generation: this.#generation }
    if (request.onOutput === undefined) return resolve({ ...result, output: ran.output })
    try {
      await request.onOutput(ran.output)
      resolve({ ...result, output: new Uint8Array(0) })
    } catch (error) {
      reject(error as Error)
    }
  }

  #die(error: EngineDied): EngineDied {
    if (this.#phase === 'dead' || this.#phase === 'stopped') return error
    this.#phase = 'dead'
    this.#run++
    this.#failAll(error)
    this.onDeath(error)
    return error
  }

  #failAll(error: Error): void {
    this.#running = false
    for (const pending of this.#queue.splice(0)) pending.reject(error)
  }
}
