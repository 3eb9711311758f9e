/**
 * The dispatcher: all lanes of the cluster and what may be done with them. Sessions run statements through it; the cluster manager tells it
 * which instance is the acting primary of each content. Started with the coordinator role, ended with it.
 */
import { MirabelleError, type Content, type Gid } from '@mirabelle/messages'
import type { Logger, Ports } from '@mirabelle/runtime'
import { literal } from './catalog/catalog-sql.ts'
import type { Foresight } from './dtx/foresight.ts'
import { DtxRegistry } from './dtx/registry.ts'
import { isOwnGid, makeGid } from './dtx/gid.ts'
import { ownItem } from './lanes/own-item.ts'
import { DistributedTransaction } from './dtx/transaction.ts'
import type { TransactionContext } from './dtx/transaction-context.ts'
import { WriteGroups, type WriteItem } from './dtx/write-groups.ts'
import { cancelled, type Cancellation } from './lanes/cancellation.ts'
import { LaneKeeper } from './lanes/lane-keeper.ts'
import { Lane } from './lanes/lane.ts'
import type { LaneRun } from './lanes/lane-run.ts'
import { LaneLost, type LaneItem, type LaneResult } from './lanes/lane-item.ts'
import type { OpenBackend } from './lanes/lane-backend.ts'
import type { LaneUser } from './lanes/lane-queue.ts'
import { SqlError } from './errors.ts'

export interface DispatcherOptions {
  readonly ports: Ports
  /** Contents 0..N-1 and -1. */
  readonly contents: readonly Content[]
  readonly incarnation: string
  readonly failoverTimeoutMs: () => number
  /** A lane lost its backend: FTS wants to know. */
  readonly onLaneLost: (content: Content, reason: MirabelleError) => void
}

export class Dispatcher {
  readonly registry = new DtxRegistry()
  readonly lanes = new Map<Content, Lane>()
  readonly #keepers = new Map<Content, LaneKeeper>()
  readonly #context: TransactionContext
  readonly #writeGroups = new WriteGroups(() => this.begin())
  readonly #options: DispatcherOptions
  readonly #log: Logger
  /** Who waits for all lanes. */
  readonly #whenOpen = new Set<() => void>()
  #swept = false
  #age = 0
  #gidNumber = 0

  constructor(options: DispatcherOptions) {
    const log = options.ports.log.child({ actor: 'dispatcher' })
    this.#options = options
    this.#log = log
    for (const content of options.contents) {
      const lane = new Lane({
        content,
        clock: options.ports.clock,
        log,
        failoverTimeoutMs: options.failoverTimeoutMs,
        onLost: (which, reason) => {
          this.#keepers.get(which)?.lost()
          options.onLaneLost(which, reason)
        },
        onOpen: () => this.#laneOpened(),
      })
      this.lanes.set(content, lane)
      this.#keepers.set(
        content,
        new LaneKeeper({ lane, registry: this.registry, clock: options.ports.clock, log }),
      )
    }
    this.#context = {
      lanes: this.lanes,
      registry: this.registry,
      nextAge: () => ++this.#age,
      nextGid: (participants: readonly Content[]): Gid =>
        makeGid(options.incarnation, ++this.#gidNumber, participants),
      clock: options.ports.clock,
      log,
    }
  }

  /** The acting primary of a content is reached this way from now on; an older backend is dropped. */
  setPrimary(content: Content, key: string, open: OpenBackend): void {
    this.#keepers.get(content)?.setTarget(key, open)
  }

  /** Nobody can serve the content now. */
  setUnavailable(content: Content, error: MirabelleError): void {
    this.lane(content).setUnavailable(error)
  }

  /** There is hope for the content again: newcomers wait for it. */
  setAvailable(content: Content): void {
    this.lane(content).setAvailable()
  }

  get #closedLanes(): Content[] {
    return [...this.lanes.values()].filter((lane) => !lane.isOpen).map((lane) => lane.content)
  }

  #laneOpened(): void {
    if (this.#closedLanes.length > 0) return
    for (const go of [...this.#whenOpen]) go()
    if (this.#swept) return
    this.#swept = true
    this.#sweep()
  }

  /** Deletes the rows that earlier coordinators left in dtx_committed. All contents are attached, so nobody needs them. */
  #sweep(): void {
    const rows = this.registry.leftovers((gid) => isOwnGid(gid, this.#options.incarnation))
    for (const [content, gids] of rows) {
      const list = gids.map((gid) => literal(gid)).join(',')
      const item = ownItem(`DELETE FROM pg_catalog.dtx_committed WHERE gid IN (${list})`, true)
      this.runOne(content, item).promise.then(
        () => this.#log.info({ content, rows: gids.length }, 'rows of finished transactions were deleted'),
        (error: unknown) =>
          // They do no harm, and the next coordinator finds them again.
          this.#log.warn({ content, rows: gids.length, err: error }, 'rows of finished transactions stay'),
      )
    }
  }

  /** Resolves when all lanes are open, or rejects after `timeoutMs` naming those that are not. */
  whenOpen(clock: Ports['clock'], timeoutMs: number): Promise<void> {
    if (this.#closedLanes.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const go = () => {
        this.#whenOpen.delete(go)
        timer.clear()
        resolve()
      }
      this.#whenOpen.add(go)
      const timer = clock.setTimer(timeoutMs, () => {
        this.#whenOpen.delete(go)
        reject(
          new MirabelleError(
            'content.unavailable',
            `content ${this.#closedLanes.join(', ')} could not be reached within ${timeoutMs} ms`,
          ),
        )
      })
    })
  }

  lane(content: Content): Lane {
    const lane = this.lanes.get(content)
    if (lane === undefined) throw new SqlError('XX000', `content ${content} does not exist`)
    return lane
  }

  /** The contents that hold rows. */
  get dataContents(): Content[] {
    return [...this.lanes.keys()].filter((content) => content >= 0)
  }

  /** An autocommit statement on one content: the hot path. */
  runOne(content: Content, item: Omit<LaneItem, 'whenLost'>): LaneRun {
    return this.lane(content).run({ ...item, whenLost: 'rerun' })
  }

  /** Begins a distributed transaction; `foresight`: of the session that it belongs to. */
  begin(beginSql?: string, foresight?: Foresight): DistributedTransaction {
    return new DistributedTransaction(this.#context, beginSql, foresight)
  }

  /**
   * An autocommit statement that only reads, on several contents at one moment of all lanes (I9). `itemFor` is asked again when the
   * statement has to run again after a failover; that is not possible any more once a piece of output has gone out.
   */
  async readMany(
    contents: readonly Content[],
    itemFor: (content: Content) => Omit<LaneItem, 'whenLost'>,
    cancellation?: Cancellation,
  ): Promise<LaneResult[]> {
    for (;;) {
      const transaction = this.begin()
      const attempt = new Attempt()
      try {
        await transaction.touch(contents, {
          onWait: (fail) => cancellation?.set(() => fail(cancelled())),
          leavesAtOnce: true,
        })
        const runs = contents.map((content) => {
          const item = itemFor(content)
          item.fits?.()
          return attempt.add(
            this.lane(content).send({ ...attempt.watched(item), whenLost: 'fail', atOneMoment: true }),
          )
        })
        // Everything is sent: what enters the lanes from here on runs after it.
        await transaction.rollback()
        cancellation?.set(() => attempt.cancel())
        return await Promise.all(runs.map((run) => run.promise))
      } catch (error) {
        attempt.abandon()
        await transaction.rollback()
        if (!(error instanceof LaneLost) || attempt.streamed)
          throw error instanceof LaneLost ? new SqlError('40001', error.message) : error
      } finally {
        cancellation?.set(undefined)
      }
    }
  }

  /**
   * An autocommit statement that writes on several contents: a distributed transaction, perhaps in the company of others that wait for the
   * same lanes; run again from the start when a failover made it roll back. Resolves with the results in the order of `contents`; a result may carry an SQL error, then nothing was changed anywhere.
   */
  writeMany(
    contents: readonly Content[],
    itemFor: (content: Content) => WriteItem,
    cancellation?: Cancellation,
  ): Promise<LaneResult[]> {
    return this.#writeGroups.run(contents, itemFor, cancellation)
  }

  /**
   * Runs the runtime's own SQL on the coordinator's lane, ahead of everyone who waits there (role changes must not wait behind clients, nor for the end of what is
   * prepared there, which may need a change of roles). `preempt` is called when a client holds the lane or something of a client runs.
   */
  async runUrgent(sql: string, preempt: (holder: LaneUser | undefined) => void): Promise<LaneResult> {
    const lane = this.lane(-1)
    if (!lane.isOpen) return lane.runBeside(ownItem(sql, true))
    const user: LaneUser = { age: 0, requeueable: false, deadlockVictim() {} }
    const clientsUnderWay = lane.inFlight > 0
    return new Promise((resolve, reject) => {
      const ticket = lane.queue.enterFirst(
        user,
        () => {
          const run = lane.send(ownItem(sql, true))
          queueMicrotask(() => lane.queue.leave(ticket))
          run.promise.then(resolve, reject)
        },
        reject,
      )
      if (ticket.state === 'waiting') {
        const holder = lane.queue.holder?.user
        holder?.makeWay?.()
        preempt(holder)
      } else if (clientsUnderWay) preempt(undefined)
    })
  }

  /** Closes all lanes; whoever waits gets the error. */
  close(error: MirabelleError): void {
    for (const keeper of this.#keepers.values()) keeper.stop()
    for (const lane of this.lanes.values()) lane.close(error)
  }
}

/** One go at a statement on several contents. What is left of an abandoned one passes nothing on any more. */
class Attempt {
  streamed = false
  #over = false
  readonly #runs: LaneRun[] = []

  /** The item, with its output watched. */
  watched<T extends Pick<LaneItem, 'onOutput'>>(item: T): T {
    const { onOutput } = item
    if (onOutput === undefined) return item
    return {
      ...item,
      onOutput: (chunk: Uint8Array) => {
        if (this.#over) return undefined
        this.streamed = true
        return onOutput(chunk)
      },
    }
  }

  add(run: LaneRun): LaneRun {
    this.#runs.push(run)
    return run
  }

  cancel(): void {
    for (const run of this.#runs) run.cancel()
  }

  abandon(): void {
    this.#over = true
    this.cancel()
  }
}
