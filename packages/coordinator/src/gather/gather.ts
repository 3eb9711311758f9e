/**
 * Copies the tables that a statement needs from all contents into temporary tables of the coordinator (sql §5, kind 4), at one moment of
 * all lanes: the contents and the coordinator's lane are entered together, so the cut is consistent and no deadlock can arise from it.
 */
import type { GatherStep } from '@mirabelle/sql'
import type { DistributedTransaction } from '../dtx/transaction.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { NO_SETTINGS } from '../lanes/lane-item.ts'
import type { LaneRun } from '../lanes/lane-run.ts'
import { asError } from '../execute/as-error.ts'
import { hold } from '../execute/hold.ts'
import type { Scope } from '../execute/scope.ts'
import { withParams, type Bound } from '../execute/statement.ts'
import { SqlError } from '../errors.ts'
import { GatherFeed } from './gather-feed.ts'
import { LocalBracket } from './local-bracket.ts'

/** The contents from which these steps copy. */
export function gatherContents(scope: Scope, steps: readonly GatherStep[]): readonly number[] {
  const { dataContents } = scope.services.dispatcher
  if (steps.some((step) => step.from === 'all')) return dataContents
  return steps.length === 0 ? [] : dataContents.slice(0, 1)
}

/**
 * Takes the lanes, copies, and calls `work` with the bracket in which the temporary tables live; ends the bracket (rolled back unless `work`
 * kept it). `apart`: the contents are left as soon as their COPY has been sent, because nothing of a transaction runs there.
 */
export async function withGathered<T>(
  scope: Scope,
  transaction: DistributedTransaction,
  request: {
    readonly steps: readonly GatherStep[]
    readonly bound: Bound | undefined
    readonly apart: boolean
    /** Further lanes that the work will need, taken at the same moment. */
    readonly alsoHold?: readonly number[]
  },
  work: (bracket: LocalBracket) => Promise<T>,
): Promise<T> {
  const contents = gatherContents(scope, request.steps)
  await hold(scope, transaction, [...new Set([...contents, ...(request.alsoHold ?? []), -1])])
  const bracket = new LocalBracket(scope, transaction)
  const leave = scope.services.localUsers.enter(transaction, () => scope.slot.fire('preempted'))
  try {
    await bracket.begin()
    await copySteps(scope, transaction, contents, request, bracket)
    scope.slot.set(() => bracket.cancel())
    const value = await work(bracket)
    leave()
    scope.slot.outran()
    return value
  } finally {
    leave()
    scope.slot.set(undefined)
    await bracket.rollback()
  }
}

/**
 * Inside a client's transaction that has changed something on the coordinator, temporary tables would forbid its two-phase commit: there the
 * copies stand in a schema that goes with the savepoint.
 */
const ORDINARY_SCHEMA = 'mirabelle_gathered'

/** A text of the plan, with the names that the copies have in this bracket. */
export function gatheredName(sql: string, bracket: LocalBracket): string {
  if (!bracket.inside) return sql
  return sql
    .replace(
      /^CREATE TEMPORARY TABLE (mirabelle_gather_\d+) ON COMMIT DROP AS/,
      `CREATE UNLOGGED TABLE ${ORDINARY_SCHEMA}.$1 AS`,
    )
    .replace(/\bpg_temp\.(mirabelle_gather_\d+)/g, `${ORDINARY_SCHEMA}.$1`)
}

async function makeRoom(bracket: LocalBracket): Promise<void> {
  if (!bracket.inside) return
  await bracket.query(
    `CREATE SCHEMA ${ORDINARY_SCHEMA}; GRANT ALL ON SCHEMA ${ORDINARY_SCHEMA} TO PUBLIC`,
    NO_SETTINGS,
  )
}

async function copySteps(
  scope: Scope,
  transaction: DistributedTransaction,
  contents: readonly number[],
  request: {
    readonly steps: readonly GatherStep[]
    readonly bound: Bound | undefined
    readonly apart: boolean
  },
  bracket: LocalBracket,
): Promise<void> {
  const runs: LaneRun[] = []
  const feeds: GatherFeed[] = []
  // Whoever stops this does not wait for the segments: an answer that is held back until a mirror is recorded down would hold back that very record.
  let abandon: (error: Error) => void = () => {}
  const abandoned = new Promise<never>((_, reject) => {
    abandon = reject
  })
  abandoned.catch(() => undefined) // the race below tells it, if it has begun
  const stop = (error: Error): void => {
    for (const run of runs) run.cancel()
    for (const feed of feeds) feed.abandon(error)
  }
  scope.slot.set(() => {
    const error = scope.slot.error()
    stop(error)
    bracket.cancel()
    abandon(error)
  })
  await makeRoom(bracket)
  const made = request.steps.map((step) => bracket.query(gatheredName(step.createSql, bracket)))
  let total = 0
  for (const step of request.steps) {
    feeds.push(
      new GatherFeed(
        gatheredName(step.copyInSql, bracket),
        (bytes) => bracket.run({ bytes, syncs: 1, write: false, settings: scope.transportSettings }),
        (bytes) => {
          total += bytes
          if (total <= scope.gatherLimitBytes) return
          for (const run of runs) run.cancel()
          throw new SqlError(
            '53400',
            `the statement needs more than gather_limit (${scope.gatherLimitBytes} bytes) on the coordinator`,
            {
              detail: `The limit was reached while table ${step.table.schema}.${step.table.name} was gathered from the segments.`,
              hint: 'Give the distribution key, filter more, or raise gather_limit.',
            },
          )
        },
      ),
    )
  }
  scope.slot.check()
  request.steps.forEach((step, i) => {
    const feed = feeds[i] as GatherFeed
    const bytes = queryMessage(withParams(step.copyOutSql, request.bound, scope.services.schema.snapshot))
    for (const content of step.from === 'all' ? contents : contents.slice(0, 1)) {
      const item = {
        bytes,
        syncs: 1,
        settings: scope.transportSettings,
        write: false,
        onOutput: (chunk: Uint8Array) => feed.take(content, chunk),
      }
      const run = request.apart
        ? transaction.runApart(content, { ...item, atOneMoment: true })
        : transaction.run(content, item)
      runs.push({
        ...run,
        promise: run.promise.then((result) => (void feed.take(content, result.output), result)),
      })
    }
  })
  if (request.apart) for (const content of contents) transaction.giveBack(content)
  const settled = await Promise.race([
    Promise.allSettled([...made, ...runs.map((run) => run.promise)]),
    abandoned,
  ])
  // The reason of a feed says more than the cancellation that it led to.
  for (const feed of feeds) if (feed.failure !== undefined) throw feed.failure
  for (const one of settled) {
    if (one.status === 'fulfilled') continue
    // It may go on where the transaction has stopped waiting for it.
    stop(asError(one.reason))
    throw one.reason
  }
  for (const feed of feeds) await feed.finish()
}
