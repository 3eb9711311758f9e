/**
 * The end of a distributed transaction that wrote on several contents: PostgreSQL's PREPARE TRANSACTION everywhere, then one outcome
 * everywhere (sql §2, docs/decisions/0002). What this file cannot bring to its end, because a lane is lost, the resolver does.
 */
import type { Content, Gid } from '@mirabelle/messages'
import { faults } from '@mirabelle/runtime'
import { firstErrorCode, firstErrorMessage, lastCommandTag } from '../lanes/backend-bytes.ts'
import { SUPERUSER } from '../lanes/backend-state.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { LaneLost, NO_SETTINGS } from '../lanes/lane-item.ts'
import { SqlError } from '../errors.ts'
import { sendCommit, sendRollback, type Participant } from './participant.ts'
import type { TransactionContext } from './transaction-context.ts'
import { undone } from './undone.ts'

type PrepareOutcome =
  | { readonly kind: 'prepared'; readonly cleaned: readonly Gid[] }
  | { readonly kind: 'refused'; readonly error: Uint8Array | undefined }
  | { readonly kind: 'lost' }

/** The transaction as its end needs it. */
export interface TwoPhase {
  readonly context: TransactionContext
  participant(content: Content): Participant
  /** Gives the lane of a content back. */
  leave(content: Content, keep: boolean): void
  /** Resolves when somebody who cannot wait needs a lane that is held: it ends as undone, unless its end is decided. */
  readonly madeWay: Promise<void>
}

/**
 * Prepares on all that wrote, in one gated round; committed when all are prepared, rolled back everywhere otherwise. Resolves when the
 * transaction is committed (COMMIT PREPARED is under way then); rejects with SqlError: 08007 when its end is not known, any other when nothing was
 * changed, which is certain once one participant has rolled back.
 */
export async function commitTwoPhase(
  transaction: TwoPhase,
  began: readonly Content[],
  writers: readonly Content[],
): Promise<void> {
  const { registry, nextGid } = transaction.context
  for (const content of began) {
    if (writers.includes(content)) continue
    sendCommit(transaction.participant(content), false).promise.catch(() => undefined) // a reader has nothing to lose
    transaction.leave(content, true)
  }
  if (faults !== undefined) await faults.at('two-phase.begin')
  const gid = nextGid(writers)
  registry.begin(gid, writers)
  const prepares = writers.map((content) => prepare(transaction, gid, content))
  // A segment whose mirror has gone prepares, and waits until that is in the catalog; the catalog may be what waits for this transaction.
  const outcome = await Promise.race([allPrepared(prepares), transaction.madeWay.then(() => 'way' as const)])
  const verdict = registry.decide(gid, outcome === 'way' ? 'abort' : outcome)
  if (faults !== undefined) await faults.at('two-phase.decided')
  const endings = prepares.map(async (prepared, i) =>
    endPrepared(transaction, gid, writers[i] as Content, verdict, await prepared),
  )
  if (verdict === 'commit') return // COMMIT PREPARED is under way; nobody waits for it
  // Who made way does not wait for the one that stands still: it is rolled back when that says something.
  if (outcome === 'way') {
    if (await anyOf(endings)) throw undone('could not complete the transaction: it made way for others')
  } else if ((await Promise.all(endings)).includes(true)) {
    const refused = (await Promise.all(prepares)).find((one) => one.kind === 'refused')
    if (refused?.error !== undefined) throw SqlError.fromBytes(refused.error)
    throw undone('could not complete the transaction: a segment failed over')
  }
  // Where all were lost all may be prepared, and a coordinator that comes after this one would commit them.
  throw new SqlError(
    '08007',
    `transaction resolution unknown: ${gid} was lost on all of its contents while it was prepared`,
    { hint: 'It is committed everywhere or nowhere; look before running it again.' },
  )
}

/** True as soon as one is, false when none is. */
async function anyOf(endings: readonly Promise<boolean>[]): Promise<boolean> {
  const found = endings.map(async (ending) => (await ending) || Promise.reject(new Error('not this one')))
  return Promise.any(found).catch(() => false)
}

async function allPrepared(prepares: readonly Promise<PrepareOutcome>[]): Promise<'commit' | 'abort'> {
  const outcomes = await Promise.all(prepares)
  if (faults !== undefined) await faults.at('two-phase.all-prepared')
  return agree(outcomes)
}

function agree(outcomes: readonly PrepareOutcome[]): 'commit' | 'abort' {
  return outcomes.every((outcome) => outcome.kind === 'prepared') ? 'commit' : 'abort'
}

async function prepare(transaction: TwoPhase, gid: Gid, content: Content): Promise<PrepareOutcome> {
  const { registry, log } = transaction.context
  const { lane, term } = transaction.participant(content)
  const forget = registry.forgettable(content)
  const cleanup =
    forget.length === 0
      ? ''
      : `; DELETE FROM pg_catalog.dtx_committed WHERE gid IN (${forget.map((one) => `'${one}'`).join(',')})`
  if (faults !== undefined) await faults.at('two-phase.prepare', { content })
  // Whoever has the next backend's lane has begun a transaction there: it must not be prepared in place of this one.
  if (term !== lane.term) return { kind: 'lost' }
  try {
    const result = await lane.send({
      // In front, where the cluster's own statements are: what a client may say cannot change whom a session works for.
      lead: [
        `SET LOCAL SESSION AUTHORIZATION ${SUPERUSER}; SET LOCAL ROLE NONE; INSERT INTO pg_catalog.dtx_committed VALUES ('${gid}')${cleanup}`,
      ],
      bytes: queryMessage(`PREPARE TRANSACTION '${gid}'`),
      syncs: 1,
      settings: undefined,
      write: true,
      whenLost: 'fail',
      // Where the transaction is not open (its statement was cancelled, its backend started anew) not even its name may be written.
      inTransaction: true,
    }).promise
    if (
      firstErrorCode(result.output) === undefined &&
      lastCommandTag(result.output) === 'PREPARE TRANSACTION'
    ) {
      if (faults !== undefined) await faults.at('two-phase.prepared', { content })
      return { kind: 'prepared', cleaned: forget }
    }
    return { kind: 'refused', error: firstErrorMessage(result.output) }
  } catch (error) {
    if (!(error instanceof LaneLost)) {
      log.warn({ content, gid, err: error }, 'PREPARE TRANSACTION did not come to an end')
      // It may be prepared: only the resolver knows, and nobody may enter before (I6).
      lane.reopen(`PREPARE TRANSACTION '${gid}' did not come to an end`)
    }
    transaction.leave(content, false)
    return { kind: 'lost' }
  }
}

/**
 * COMMIT PREPARED or ROLLBACK PREPARED. Nothing else runs before it (I6): the lane runs in order, so it is given back as soon as COMMIT PREPARED is
 * sent, and PostgreSQL ends when that fails, as Greenplum's coordinator does. If the lane is lost the resolver does it when the lane comes back.
 * Resolves to true when it is certain that the transaction has ended here.
 */
async function endPrepared(
  transaction: TwoPhase,
  gid: Gid,
  content: Content,
  verdict: 'commit' | 'abort',
  outcome: PrepareOutcome,
): Promise<boolean> {
  const { registry, log } = transaction.context
  const participant = transaction.participant(content)
  // Another backend, another resolution: the resolver ends what it finds before anyone may enter.
  const isResolved = (): boolean => participant.term !== participant.lane.term
  if (outcome.kind === 'lost' || isResolved()) return false
  if (outcome.kind === 'refused') {
    // PREPARE in a failed transaction rolls back; ROLLBACK covers the cases that it failed before, or never got there.
    void sendRollback(participant)
    registry.finished(gid, content)
    transaction.leave(content, true)
    return true
  }
  const sql = `${verdict === 'commit' ? 'COMMIT' : 'ROLLBACK'} PREPARED '${gid}'`
  if (faults !== undefined) await faults.at('two-phase.end', { content })
  if (isResolved()) return false
  let why = ''
  try {
    const run = participant.lane.send({
      bytes: queryMessage(sql),
      syncs: 1,
      // As superuser, who prepared it: the client's role may not.
      settings: NO_SETTINGS,
      bringsSettings: true,
      write: true,
      whenLost: 'fail',
      mustSucceed: verdict === 'commit',
    })
    if (verdict === 'commit') transaction.leave(content, true)
    const result = await run.promise
    const code = firstErrorCode(result.output)
    if (code === undefined) {
      if (faults !== undefined) await faults.at('two-phase.ended', { content })
      registry.finished(gid, content)
      if (verdict === 'commit') registry.forgotten(content, outcome.cleaned)
      transaction.leave(content, true)
      return true
    }
    why = `SQLSTATE ${code}`
  } catch (error) {
    if (error instanceof LaneLost) {
      transaction.leave(content, false)
      return false
    }
    why = String(error)
  }
  log.error({ content, gid }, `${sql} did not come to its end (${why}): the lane is opened anew`)
  participant.lane.reopen(`prepared transaction ${gid} did not come to its end`)
  transaction.leave(content, false)
  return false
}
