/**
 * Autocommit statements that write on several contents. Each is a distributed transaction, and a lane has room for one at a time: prepared, durable on both
 * copies, committed, then the next. So statements that wait for the same lanes at the same moment share a transaction, as commits share an fsync: they
 * run one after the other in it, are prepared together and committed together, and each is answered for itself.
 *
 * Made by the dispatcher, one for all sessions. Promises: what a client is told is what a transaction of its own would have led to. A statement that fails
 * takes the others of its group with it, so all of them run again, each alone. Only statements under equal settings (role, search_path, …) share.
 */
import type { Content } from '@mirabelle/messages'
import { firstErrorCode } from '../lanes/backend-bytes.ts'
import { cancelled, type Cancellation } from '../lanes/cancellation.ts'
import { LaneLost, type LaneItem, type LaneResult, type TransactionItem } from '../lanes/lane-item.ts'
import { SqlError } from '../errors.ts'
import type { DistributedTransaction } from './transaction.ts'

/** Statements in one group: at first, and at most. Halved when a group fails because of one of them, one more after each full group. */
const FIRST_SIZE = 16
const MAX_SIZE = 64
/** Bytes of statements on one content: larger ones run alone, and a group holds no more. */
const MAX_STATEMENT_BYTES = 16 * 1024
const MAX_GROUP_BYTES = 128 * 1024

export type WriteItem = Omit<TransactionItem, 'onOutput'> & Pick<LaneItem, 'fits'>

type Outcome =
  | { readonly kind: 'done'; readonly results: LaneResult[] }
  /** Nothing was changed: once more, in company or not. */
  | { readonly kind: 'again'; readonly alone: boolean }

interface Member {
  /** In the order of the group's contents. */
  readonly items: readonly WriteItem[]
  readonly cancellation: Cancellation | undefined
  readonly resolve: (outcome: Outcome) => void
  readonly reject: (error: unknown) => void
}

interface Group {
  readonly key: string
  readonly contents: readonly Content[]
  readonly transaction: DistributedTransaction
  members: Member[]
  bytes: number
  /** Ends the wait for lanes. */
  giveUp: (error: Error) => void
}

export class WriteGroups {
  readonly #begin: () => DistributedTransaction
  /** Those that wait for their lanes, by contents and settings: they take more members. */
  readonly #forming = new Map<string, Group>()
  #size = FIRST_SIZE

  constructor(begin: () => DistributedTransaction) {
    this.#begin = begin
  }

  /** Resolves with the results in the order of `contents`; when one carries an SQL error nothing was changed anywhere. */
  async run(
    contents: readonly Content[],
    itemFor: (content: Content) => WriteItem,
    cancellation: Cancellation | undefined,
  ): Promise<LaneResult[]> {
    let alone = false
    for (;;) {
      const items = contents.map(itemFor)
      const outcome = await new Promise<Outcome>((resolve, reject) =>
        this.#enter(contents, { items, cancellation, resolve, reject }, alone),
      ).finally(() => cancellation?.set(undefined))
      if (outcome.kind === 'done') return outcome.results
      alone ||= outcome.alone
    }
  }

  #enter(contents: readonly Content[], member: Member, alone: boolean): void {
    const bytes = Math.max(...member.items.map((item) => item.bytes.length))
    const [first] = member.items
    const shares = !alone && bytes <= MAX_STATEMENT_BYTES && first?.settings !== undefined
    const key = `${contents.join('.')} ${first?.settings?.key ?? ''}`
    let group = shares ? this.#forming.get(key) : undefined
    const isFull =
      group !== undefined && (group.members.length >= this.#size || group.bytes + bytes > MAX_GROUP_BYTES)
    if (group === undefined || isFull) {
      const mine = (group = this.#form(key, contents))
      if (shares) this.#forming.set(key, mine)
      this.#carryOut(mine).catch((error: unknown) => {
        for (const one of mine.members) one.reject(error)
      })
    }
    const mine = group
    mine.members.push(member)
    mine.bytes += bytes
    member.cancellation?.set(() => this.#leave(mine, member))
  }

  #form(key: string, contents: readonly Content[]): Group {
    return { key, contents, transaction: this.#begin(), members: [], bytes: 0, giveUp: () => undefined }
  }

  /** A member is cancelled while its group waits. */
  #leave(group: Group, member: Member): void {
    group.members = group.members.filter((other) => other !== member)
    member.reject(cancelled())
    if (group.members.length > 0) return
    this.#close(group)
    group.giveUp(cancelled())
  }

  async #carryOut(group: Group): Promise<void> {
    const { transaction, contents } = group
    try {
      await transaction.touch(contents, { onWait: (fail) => (group.giveUp = fail) })
    } catch (error) {
      this.#close(group)
      await transaction.rollback()
      for (const member of group.members) member.reject(error)
      return
    }
    this.#close(group)
    group.members = group.members.filter(mayRun)
    if (group.members.length === 0) await transaction.rollback()
    else await this.#runAndCommit(group)
  }

  /** Takes no more members. */
  #close(group: Group): void {
    if (this.#forming.get(group.key) === group) this.#forming.delete(group.key)
  }

  async #runAndCommit({ transaction, contents, members }: Group): Promise<void> {
    const runs = members.map(({ items }) =>
      items.map((item, i) => transaction.run(contents[i] as Content, item)),
    )
    // Sent right behind the statements: it has something to commit only where all of them have succeeded.
    const committing = transaction.commit().then(
      () => undefined,
      (error: unknown) => error,
    )
    members.forEach(({ cancellation }, k) =>
      cancellation?.set(() => {
        for (const run of runs[k] ?? []) run.cancel()
      }),
    )
    const answers = await Promise.all(
      runs.map((ofMember) => Promise.allSettled(ofMember.map((run) => run.promise))),
    )
    const error = await committing
    if (error === undefined && members.length >= this.#size) this.#size = Math.min(MAX_SIZE, this.#size + 1)
    const anyFailed = answers.some(hasFailed)
    if (anyFailed && members.length > 1) this.#size = Math.max(1, this.#size >> 1)
    members.forEach((member, k) => {
      settle(member, answers[k] as Answers, error, members.length > 1, anyFailed)
    })
  }
}

/** Asked when all lanes are held: one that does not fit any more is told so. */
function mayRun({ items, reject }: Member): boolean {
  try {
    for (const item of items) item.fits?.()
    return true
  } catch (error) {
    reject(error)
    return false
  }
}

type Answers = readonly PromiseSettledResult<LaneResult>[]

/** Tells a member what became of its statement. `error`: why the transaction did not commit. */
function settle(
  member: Member,
  answers: Answers,
  error: unknown,
  hadCompany: boolean,
  anyFailed: boolean,
): void {
  const results = answers.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const rejections = answers.flatMap((one): unknown[] => (one.status === 'rejected' ? [one.reason] : []))
  const own = rejections.find((reason) => !isPassing(reason))
  if (error === undefined && rejections.length === 0) member.resolve({ kind: 'done', results })
  else if (error === undefined || isUnknown(error)) member.reject(error ?? own ?? rejections[0])
  else if (own !== undefined) member.reject(own)
  else if (isPassing(error) || rejections.length > 0) member.resolve({ kind: 'again', alone: anyFailed })
  // Whose fault it was shows when each runs alone.
  else if (hadCompany) member.resolve({ kind: 'again', alone: true })
  else if (hasFailed(answers)) member.resolve({ kind: 'done', results })
  else member.reject(error)
}

/** The statement itself was refused by PostgreSQL. */
function hasFailed(answers: Answers): boolean {
  return answers.some((one) => one.status === 'fulfilled' && firstErrorCode(one.value.output) !== undefined)
}

/** Nothing was changed, and nobody is to blame: a segment failed over, or it made way for a change of roles. */
function isPassing(error: unknown): boolean {
  return (
    error instanceof LaneLost ||
    (error instanceof SqlError && error.sqlstate === '40001' && error.wire === undefined)
  )
}

function isUnknown(error: unknown): boolean {
  return error instanceof SqlError && error.sqlstate === '08007'
}
