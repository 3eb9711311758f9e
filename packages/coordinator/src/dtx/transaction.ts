/**
 * A distributed transaction: which lanes it holds, how it begins on each, how it ends on all of them (sql §1, §2).
 *
 * Made by a session for BEGIN … COMMIT, by the dispatcher for an autocommit statement that writes on several contents. It holds each lane
 * from its first statement there until it has ended there. It ends with `commit` or `rollback`; when a lane is lost it can only roll back.
 */
import type { Content } from '@mirabelle/messages'
import { firstErrorMessage, lastCommandTag } from '../lanes/backend-bytes.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { breakCycles } from '../lanes/deadlock.ts'
import type { Lane } from '../lanes/lane.ts'
import { rejectedRun, type LaneRun } from '../lanes/lane-run.ts'
import { LaneLost, type LaneItem, type LaneResult, type TransactionItem } from '../lanes/lane-item.ts'
import type { LaneUser } from '../lanes/lane-queue.ts'
import { SqlError } from '../errors.ts'
import { Entering, type EnterWait } from './entering.ts'
import { newParticipant, sendCommit, sendRollback, type Participant } from './participant.ts'
import type { Foresight } from './foresight.ts'
import { StandstillWatch } from './standstill-watch.ts'
import type { TransactionContext } from './transaction-context.ts'
import { commitTwoPhase } from './two-phase.ts'
import { lostInTransaction, madeWay, madeWayForRoles } from './undone.ts'

export class DistributedTransaction implements LaneUser {
  readonly age: number
  readonly #context: TransactionContext
  readonly #beginSql: string
  readonly #foresight: Foresight | undefined
  /** Contents that its statements have asked for. */
  readonly #asked = new Set<Content>()
  readonly #participants = new Map<Content, Participant>()
  /** Where something runs for it that is no part of it, and how much. */
  readonly #apart = new Map<Content, number>()
  #savepoints: string[] = []
  readonly #entering: Entering
  readonly #watch: StandstillWatch
  /** Ends the wait for something that runs beside the transaction. */
  #besideVictim: (() => void) | undefined
  /** Ends the waits for statements, and that of a two-phase commit. */
  readonly #waits = new Set<(error: SqlError) => void>()
  #ended = false
  /** Whether others wait for something of it that is no lane: the end of its schema change. */
  keepsOut: (() => boolean) | undefined

  /** `beginSql` opens the transaction on each content, e.g. `BEGIN ISOLATION LEVEL SERIALIZABLE`. `foresight`: of its session. */
  constructor(context: TransactionContext, beginSql = 'BEGIN', foresight?: Foresight) {
    this.#context = context
    this.#beginSql = beginSql
    this.#foresight = foresight
    this.age = context.nextAge()
    this.#entering = new Entering({
      user: this,
      clock: context.clock,
      lane: (content) => this.#lane(content),
      holds: (content) => this.holds(content),
      entered: (content, ticket) => {
        this.#participants.set(content, newParticipant(this.#lane(content), ticket))
      },
      leave: (content) => this.#leave(content, true),
      isHolding: () => this.isHolding(),
      isWaitedFor: () => this.#isWaitedFor(),
      breakCycles: () => this.#breakCycles(),
    })
    this.#watch = new StandstillWatch({
      clock: context.clock,
      isElsewhere: () => this.#participants.size + this.#apart.size > 1,
      waitsFor: () => this.#waitsFor(),
      isWaitedFor: (except) => this.#isWaitedFor(except),
      makeWay: (contents) => this.makeWay(madeWay(contents)),
    })
  }

  #lane(content: Content): Lane {
    const lane = this.#context.lanes.get(content)
    if (lane === undefined) throw new SqlError('XX000', `content ${content} does not exist`)
    return lane
  }

  /** Somebody waits for it, but not for one of these lanes. */
  #isWaitedFor(except: readonly Content[] = []): boolean {
    if (this.keepsOut?.() === true) return true
    return [...this.#participants].some(
      ([content, { ticket }]) =>
        !except.includes(content) && ticket.state === 'holding' && ticket.queue.waiting.length > 0,
    )
  }

  /** Where it waits for an answer, or for its turn: one that waits in a lane is told by it, and gives back what it holds. */
  #waitsFor(): Lane[] {
    const asks = this.#waits.size > 0
    const own = [...this.#participants.values()].filter(
      ({ began, ticket }) => ticket.state === 'waiting' || (asks && began && ticket.state === 'holding'),
    )
    const lanes = [...own.map(({ lane }) => lane), ...[...this.#apart.keys()].map((one) => this.#lane(one))]
    return [...new Set(lanes)]
  }

  /** It has run nothing and nobody relies on a lane that it holds: it may go to the end of its queues. */
  get requeueable(): boolean {
    return ![...this.#participants.values()].some(({ began, kept }) => began || kept)
  }
  /** The contents that it has touched. */
  get contents(): Content[] {
    return [...this.#participants.keys()]
  }
  /** A content was lost: only rollback is left. */
  get lost(): LaneLost | undefined {
    for (const [content, participant] of this.#participants) {
      if (participant.began && participant.term !== participant.lane.term) {
        participant.lost ??= new LaneLost(content, 'no', 'the segment failed over during the transaction')
      }
      if (participant.lost !== undefined) return participant.lost
    }
    return undefined
  }
  get ended(): boolean {
    return this.#ended
  }

  holds(content: Content): boolean {
    return this.#participants.get(content)?.ticket.state === 'holding'
  }
  isHolding(): boolean {
    return this.contents.some((content) => this.holds(content))
  }

  /**
   * Somebody who cannot wait needs a lane that it holds. A statement that has run may wait, at a segment whose mirror has gone, for just that: the transaction
   * does not wait for its answer any more, and can only roll back; if it commits, it is undone unless its end is decided.
   */
  makeWay(error = madeWayForRoles()): void {
    for (const end of [...this.#waits]) end(error)
  }

  deadlockVictim(): void {
    this.#besideVictim?.()
    this.#entering.fail(deadlockDetected([...this.#asked].filter((content) => !this.holds(content))))
  }

  othersWait(): void {
    this.#entering.othersWait()
    this.#watch.begin()
  }

  /**
   * What had begun there is undone, and what was prepared there the resolver ends: nobody needs to wait for this transaction there. Nor anywhere else: before its
   * end it can only roll back, and does so at once wherever it has begun.
   */
  laneLost(content: Content): void {
    const participant = this.#participants.get(content)
    if (participant === undefined) return
    if (!participant.began) return this.#entering.laneLost()
    participant.lost ??= new LaneLost(content, 'no', 'the segment failed over during the transaction')
    this.#leave(content, false)
    if (this.#ended) return
    this.#entering.fail(participant.lost)
    for (const [other, { began }] of this.#participants) if (began) void this.#rollBackOn(other)
  }

  /**
   * Gives back a content that it holds and where nothing of the transaction itself has begun: what ran there beside it (a gathered query on
   * the coordinator) has been sent, whoever enters next runs after it. Does nothing where the transaction has begun.
   */
  giveBack(content: Content): void {
    const participant = this.#participants.get(content)
    if (participant === undefined || participant.began || this.#ended) return
    this.#leave(content, true)
  }

  /** True when the transaction has run something on the content. */
  hasBegunOn(content: Content): boolean {
    return this.#participants.get(content)?.began === true
  }

  /** Enters all lanes that it does not hold yet, at one moment, and waits until it holds all. Rejects with 40P01, 55P03, 57P01 or what `cancel` gives. */
  async touch(contents: readonly Content[], wait: EnterWait = {}): Promise<void> {
    for (const content of contents) this.#asked.add(content)
    const asked = [...new Set(contents)].filter((content) => !this.#participants.has(content))
    if (asked.length === 0) return
    await this.#entering.enter(asked, this.#foreseen(asked), wait)
    for (const participant of this.#participants.values()) participant.kept = true
  }

  /** Lanes to enter with the first ones: open ones only. */
  #foreseen(asked: readonly Content[]): Content[] {
    if (this.#foresight === undefined || this.#participants.size > 0) return []
    return [...this.#foresight.contents].filter(
      (content) => !asked.includes(content) && this.#context.lanes.get(content)?.isOpen === true,
    )
  }

  #breakCycles(): void {
    breakCycles(
      [...this.#context.lanes.values()].map((lane) => lane.queue),
      this,
    )
  }

  /**
   * Runs something of its session on a lane beside itself, as autocommit. Its own lanes stay held meanwhile, so it is the transaction that
   * waits: in a deadlock it may be told 40P01.
   */
  beside(content: Content, item: Omit<LaneItem, 'whenLost'>): LaneRun {
    const run = this.#lane(content).run({ ...item, whenLost: 'rerun' }, this)
    const promise = new Promise<LaneResult>((resolve, reject) => {
      const victim = (): void => {
        reject(deadlockDetected([content]))
        run.cancel()
      }
      const ended = (): void => {
        if (this.#besideVictim === victim) this.#besideVictim = undefined
      }
      this.#besideVictim = victim
      run.promise.finally(ended).then(resolve, reject)
      this.#breakCycles()
    })
    return { promise, cancel: run.cancel }
  }

  /** Runs something on a content that it holds and that is no part of it: it may give the content back meanwhile. Rejects as `run` does. */
  runApart(content: Content, item: Omit<LaneItem, 'whenLost'>): LaneRun {
    const run = this.#lane(content).send({ ...item, whenLost: 'fail' })
    this.#apart.set(content, (this.#apart.get(content) ?? 0) + 1)
    const answer = this.#unlessItMakesWay(run.promise).finally(() => {
      const left = (this.#apart.get(content) as number) - 1
      if (left > 0) this.#apart.set(content, left)
      else this.#apart.delete(content)
    })
    this.#watch.begin()
    return { promise: answer, cancel: run.cancel }
  }

  /** Runs something on a content that it holds. The result may carry an SQL error; the promise rejects with LaneLost. */
  run(content: Content, item: TransactionItem): LaneRun {
    const lost = this.lost
    if (lost !== undefined) return rejectedRun(lost)
    const participant = this.#participants.get(content)
    if (participant?.ticket.state !== 'holding')
      throw new Error(`content ${content} is not held by transaction ${this.age}`)
    const place = participant.began
      ? { inTransaction: true }
      : { lead: [this.#beginSql, ...this.#savepoints.map((name) => `SAVEPOINT ${name}`)] }
    this.#watch.begin()
    if (!participant.began) participant.term = participant.lane.term
    participant.began = true
    if (item.write) participant.wrote = true
    const run = participant.lane.send({ ...item, ...place, whenLost: 'fail' })
    const answer = run.promise.catch((error: unknown) => this.#failed(content, error))
    return { promise: this.#unlessItMakesWay(answer), cancel: run.cancel }
  }

  #unlessItMakesWay(answer: Promise<LaneResult>): Promise<LaneResult> {
    return new Promise((resolve, reject) => {
      this.#waits.add(reject)
      answer.then(resolve, reject).finally(() => this.#waits.delete(reject))
    })
  }

  #failed(content: Content, error: unknown): never {
    const participant = this.#participants.get(content)
    if (error instanceof LaneLost && participant !== undefined) {
      participant.lost ??= error
      this.#leave(content, false)
    }
    throw error
  }

  /** SAVEPOINT, RELEASE and ROLLBACK TO go to all contents; contents touched later get the savepoints when they begin. */
  async savepoint(kind: 'savepoint' | 'release' | 'rollback', quotedName: string): Promise<void> {
    const sql =
      kind === 'savepoint'
        ? `SAVEPOINT ${quotedName}`
        : kind === 'release'
          ? `RELEASE SAVEPOINT ${quotedName}`
          : `ROLLBACK TO SAVEPOINT ${quotedName}`
    if (kind !== 'savepoint') {
      const at = this.#savepoints.lastIndexOf(quotedName)
      if (at < 0) throw new SqlError('3B001', `savepoint ${quotedName} does not exist`)
      this.#savepoints = this.#savepoints.slice(0, kind === 'release' ? at : at + 1)
    } else this.#savepoints.push(quotedName)
    const began = this.contents.filter((content) => this.#participants.get(content)?.began === true)
    const results = await Promise.all(
      began.map(
        (content) =>
          this.run(content, { bytes: queryMessage(sql), syncs: 1, settings: undefined, write: false })
            .promise,
      ),
    ).catch((error: unknown) => {
      throw error instanceof LaneLost ? lostInTransaction(error) : error
    })
    for (const result of results) {
      const error = firstErrorMessage(result.output)
      if (error !== undefined) throw SqlError.fromBytes(error)
    }
  }

  /**
   * Commits everywhere or nowhere. Rejects with SqlError (40001, 08007, or what a participant said); nothing stays held for long. May be called while
   * statements are under way: it is sent right behind them, and where one of them has failed there is nothing to commit.
   */
  async commit(): Promise<void> {
    const lost = this.lost
    if (lost !== undefined) {
      await this.rollback()
      throw lostInTransaction(lost)
    }
    this.#end()
    this.#watch.begin()
    const began = this.contents.filter((content) => this.#participants.get(content)?.began === true)
    for (const content of this.contents) if (!began.includes(content)) this.#leave(content, true)
    const writers = began.filter((content) => this.#participants.get(content)?.wrote === true)
    if (writers.length <= 1) await this.#commitOnePhase(began, writers[0])
    else {
      await commitTwoPhase(
        {
          context: this.#context,
          participant: (content) => this.#participants.get(content) as Participant,
          leave: (content, keep) => this.#leave(content, keep),
          madeWay: new Promise((resolve) => this.#waits.add(() => resolve())),
        },
        began,
        writers,
      )
    }
  }

  async #commitOnePhase(began: readonly Content[], writer: Content | undefined): Promise<void> {
    const answers = began.map((content) => {
      const run = sendCommit(this.#participants.get(content) as Participant, content === writer)
      // The segment runs in order: whoever enters now runs after the COMMIT.
      this.#leave(content, true)
      return run.promise.then(
        (result) => result,
        (error: unknown) => {
          // A reader that lost its lane had nothing to commit; a COMMIT that is known to have taken effect needs no answer.
          if (error instanceof LaneLost && (content !== writer || error.tookEffect === 'yes'))
            return undefined
          throw error
        },
      )
    })
    const settled = await Promise.allSettled(answers)
    settled.forEach((answer, i) => {
      if (answer.status === 'rejected') throw commitError(answer.reason)
      const result = answer.value
      const error = result === undefined ? undefined : firstErrorMessage(result.output)
      if (error !== undefined) throw SqlError.fromBytes(error)
      if (result !== undefined && began[i] === writer && lastCommandTag(result.output) === 'ROLLBACK') {
        throw new SqlError('40000', 'the transaction had failed and was rolled back')
      }
    })
  }

  /** Rolls back everywhere. Never rejects: a lane that is lost has rolled back by itself. */
  async rollback(): Promise<void> {
    this.#end()
    await Promise.all([...this.#participants.keys()].map((content) => this.#rollBackOn(content)))
  }

  /** Never rejects. Whoever enters the lane from here on runs after the ROLLBACK; one that stands still is not waited for. */
  #rollBackOn(content: Content): Promise<void> {
    const participant = this.#participants.get(content) as Participant
    const { began, term, lane, ticket } = participant
    const isOpen = began && term === lane.term && ticket.state === 'holding'
    const rolledBack = isOpen ? sendRollback(participant) : Promise.resolve()
    this.#leave(content, true)
    return lane.standstill.lasts ? Promise.resolve() : rolledBack
  }

  #end(): void {
    this.#ended = true
    this.#foresight?.learn(this.#asked)
  }

  #leave(content: Content, keep: boolean): void {
    const participant = this.#participants.get(content)
    if (participant === undefined) return
    participant.lane.queue.leave(participant.ticket)
    this.#watch.left()
    if (keep && !participant.began && !this.#ended) this.#participants.delete(content)
  }
}

function commitError(reason: unknown): Error {
  if (!(reason instanceof LaneLost)) return reason instanceof Error ? reason : new Error(String(reason))
  if (reason.tookEffect === 'no') return lostInTransaction(reason)
  return new SqlError('08007', `transaction resolution unknown: ${reason.message}`)
}

function deadlockDetected(contents: readonly Content[]): SqlError {
  return new SqlError('40P01', 'deadlock detected', {
    detail: `The transaction waited for the lanes of content ${contents.join(', ')} while others waited for it.`,
    hint: 'Run the transaction again.',
  })
}
