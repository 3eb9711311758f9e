/**
 * Runs the parts of one statement on contents (the coordinator's own is -1) and passes the answers to a relay: inside the open
 * transaction, or as an autocommit statement that survives a failover.
 */
import { isMirabelleError, type Content } from '@mirabelle/messages'
import type { DistributedTransaction } from '../dtx/transaction.ts'
import { isUndone, lostInTransaction } from '../dtx/undone.ts'
import type { LaneRun } from '../lanes/lane-run.ts'
import {
  LaneLost,
  type LaneItem,
  type LaneResult,
  type SessionSettings,
  type StatementUse,
} from '../lanes/lane-item.ts'
import { firstErrorCode, firstErrorMessage } from '../lanes/backend-bytes.ts'
import { SqlError } from '../errors.ts'
import type { AnswerRelay } from './answer-relay.ts'
import { hold, lostInAutocommit } from './hold.ts'
import { PlanOutdated, throwIfOutdated } from './outdated.ts'
import type { Scope } from './scope.ts'

/** What runs on one content. */
export interface Part {
  readonly bytes: Uint8Array
  readonly syncs?: number
  readonly settings?: SessionSettings
  readonly statement?: StatementUse
}

export interface RunOptions {
  readonly write: boolean
  readonly part: (content: Content) => Part
  /** Made anew for each attempt. */
  readonly relay: () => AnswerRelay
}

/** Resolves with the relay that got the whole answer; the caller ends it with `finish`. */
export async function runOn(
  scope: Scope,
  contents: readonly Content[],
  options: RunOptions,
): Promise<AnswerRelay> {
  const { transaction } = scope
  try {
    if (transaction !== undefined) return await inTransaction(scope, transaction, contents, options)
    if (contents.length === 1) return await onOne(scope, contents[0] as Content, options)
    return options.write
      ? await writeMany(scope, contents, options)
      : await readMany(scope, contents, options)
  } catch (error) {
    throw translate(scope, error)
  }
}

/** Errors of lanes as clients see them. */
export function translate(scope: Scope, error: unknown): unknown {
  if (error instanceof LaneLost)
    return scope.transaction === undefined ? lostInAutocommit(error) : lostInTransaction(error)
  if (isMirabelleError(error, 'cancelled')) return scope.slot.error()
  return error
}

function itemOf(scope: Scope, part: Part, write: boolean): Omit<LaneItem, 'whenLost'> {
  return {
    bytes: part.bytes,
    syncs: part.syncs ?? 1,
    settings: part.settings ?? scope.settings,
    write,
    fits: () => throwIfOutdated(scope),
    ...(part.statement === undefined ? {} : { statement: part.statement }),
  }
}

async function inTransaction(
  scope: Scope,
  transaction: DistributedTransaction,
  contents: readonly Content[],
  options: RunOptions,
): Promise<AnswerRelay> {
  await hold(scope, transaction, contents)
  scope.slot.check()
  const relay = options.relay()
  const runs = contents.map((content) =>
    transaction.run(content, {
      ...itemOf(scope, options.part(content), options.write),
      onOutput: (chunk) => relay.take(content, chunk),
    }),
  )
  await settle(scope, contents, runs, relay)
  return relay
}

async function settle(
  scope: Scope,
  contents: readonly Content[],
  runs: readonly LaneRun[],
  relay: AnswerRelay,
): Promise<void> {
  scope.slot.set(() => {
    for (const run of runs) run.cancel()
  })
  try {
    const settled = await Promise.allSettled(runs.map((run) => run.promise))
    settled.forEach((one, i) => {
      if (one.status === 'rejected') throw one.reason
      void relay.take(contents[i] as Content, one.value.output)
    })
  } finally {
    scope.slot.set(undefined)
  }
}

async function onOne(scope: Scope, content: Content, options: RunOptions): Promise<AnswerRelay> {
  const { dispatcher } = scope.services
  for (;;) {
    scope.slot.check()
    throwIfOutdated(scope)
    const relay = options.relay()
    const item = itemOf(scope, options.part(content), options.write)
    // A read that has begun to go out cannot run again by itself; one that has not, can.
    const run = options.write
      ? dispatcher.runOne(content, item)
      : dispatcher
          .lane(content)
          .run({ ...item, whenLost: 'lookup', onOutput: (chunk) => relay.take(content, chunk) })
    scope.slot.set(run.cancel)
    const leave =
      content === -1
        ? scope.services.localUsers.enter(undefined, () => scope.slot.fire('preempted'))
        : undefined
    let result: LaneResult
    try {
      result = await run.promise
    } catch (error) {
      const again =
        !relay.started &&
        ((error instanceof LaneLost && error.tookEffect === 'no') ||
          (isMirabelleError(error, 'cancelled') && scope.slot.reason === 'preempted'))
      if (!again) throw error
      scope.slot.reset()
      continue
    } finally {
      leave?.()
      scope.slot.set(undefined)
    }
    if (scope.slot.reason === 'preempted' && !relay.started && firstErrorCode(result.output) === '57014') {
      scope.slot.reset()
      continue
    }
    if (leave !== undefined) scope.slot.outran()
    void relay.take(content, result.output)
    return relay
  }
}

async function readMany(
  scope: Scope,
  contents: readonly Content[],
  options: RunOptions,
): Promise<AnswerRelay> {
  let relay = options.relay()
  const results = await scope.services.dispatcher.readMany(
    contents,
    (content) => {
      // Asked for the first content: a new attempt begins.
      if (content === contents[0]) relay = options.relay()
      const current = relay
      return {
        ...itemOf(scope, options.part(content), false),
        onOutput: (chunk) => current.take(content, chunk),
      }
    },
    scope.slot,
  )
  results.forEach((result, i) => void relay.take(contents[i] as Content, result.output))
  return relay
}

async function writeMany(
  scope: Scope,
  contents: readonly Content[],
  options: RunOptions,
): Promise<AnswerRelay> {
  const relay = options.relay()
  const results = await scope.services.dispatcher.writeMany(
    contents,
    (content) => itemOf(scope, options.part(content), true),
    scope.slot,
  )
  results.forEach((result, i) => void relay.take(contents[i] as Content, result.output))
  return relay
}

/**
 * Work of our own that needs a transaction: the open one, or one for this alone, which is committed, or run again when a failover took it.
 * `work` must not have told the client anything that a second run would repeat. `whenUndone`: where lanes are waited for behind a failover others must be let in first,
 * and what they do may ask for another plan.
 */
export async function withTransaction<T>(
  scope: Scope,
  work: (transaction: DistributedTransaction) => Promise<T>,
  whenUndone: 'run again' | 'plan again' = 'run again',
): Promise<T> {
  if (scope.transaction !== undefined) {
    try {
      return await work(scope.transaction)
    } catch (error) {
      throw translate(scope, error)
    }
  }
  for (;;) {
    const transaction = scope.services.dispatcher.begin()
    try {
      const value = await work(transaction)
      await transaction.commit()
      return value
    } catch (error) {
      if (!transaction.ended) await transaction.rollback()
      if (!beginsAnew(scope, error)) throw translate(scope, error)
      scope.slot.reset()
      if (whenUndone === 'plan again') throw new PlanOutdated()
    }
  }
}

/** A failover or a role change has undone it, and nobody else wants it stopped. */
function beginsAnew({ slot }: Scope, error: unknown): boolean {
  if (slot.reason === 'preempted') return error instanceof LaneLost || isUndone(error) || isCancelled(error)
  return slot.reason === undefined && (error instanceof LaneLost || isUndone(error))
}

/** By an order of ours, whether it was found waiting or by PostgreSQL. */
export function isCancelled(error: unknown): boolean {
  return (
    isMirabelleError(error, 'cancelled') ||
    (error instanceof SqlError && error.wire !== undefined && firstErrorCode(error.wire) === '57014')
  )
}

/** Runs one item inside a transaction that holds the content, and throws what went wrong. */
export async function runInside(
  scope: Scope,
  transaction: DistributedTransaction,
  content: Content,
  item: Omit<LaneItem, 'whenLost' | 'settings'> & { readonly settings?: SessionSettings },
): Promise<LaneResult> {
  const run = transaction.run(content, { ...item, settings: item.settings ?? scope.settings })
  return checked(scope, run)
}

/** Waits for a run that can be cancelled; throws the ErrorResponse that it carries. */
export async function checked(scope: Scope, run: LaneRun): Promise<LaneResult> {
  scope.slot.set(run.cancel)
  try {
    const result = await run.promise
    const error = firstErrorMessage(result.output)
    if (error !== undefined) throw SqlError.fromBytes(error)
    return result
  } finally {
    scope.slot.set(undefined)
  }
}

/** Runs an item on the coordinator's engine beside the open transaction; inside it when it has begun there. */
export async function runLocal(
  scope: Scope,
  item: Omit<LaneItem, 'whenLost' | 'settings'> & { readonly settings?: SessionSettings },
): Promise<LaneResult> {
  const { transaction } = scope
  const settings = item.settings ?? scope.settings
  if (transaction?.hasBegunOn(-1) === true) {
    return checked(scope, transaction.run(-1, { ...item, settings }))
  }
  for (;;) {
    const leave = scope.services.localUsers.enter(undefined, () => scope.slot.fire('preempted'))
    try {
      const whole = { ...item, settings }
      const run = transaction?.beside(-1, whole) ?? scope.services.dispatcher.runOne(-1, whole)
      const result = await checked(scope, run)
      scope.slot.outran()
      return result
    } catch (error) {
      if (!isCancelled(error) || scope.slot.reason !== 'preempted') throw translate(scope, error)
      scope.slot.reset()
    } finally {
      leave()
    }
  }
}
