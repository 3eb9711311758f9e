/** Taking lanes for a transaction, with the session's lock_timeout and cancel requests. */
import type { Content } from '@mirabelle/messages'
import type { DistributedTransaction } from '../dtx/transaction.ts'
import { lostInTransaction } from '../dtx/undone.ts'
import type { LaneLost } from '../lanes/lane-item.ts'
import { SqlError } from '../errors.ts'
import { throwIfOutdated } from './outdated.ts'
import type { Scope } from './scope.ts'

/**
 * Resolves when the transaction holds all these lanes. Rejects with 55P03, 57014, 40P01, 40001, what the lane says, or PlanOutdated: others changed the schema before it
 * held any. `onClosed`: of EnterWait.
 *
 * Whoever has the coordinator's lane already and waits for a segment makes way for a role change, and joins the queues again behind it: the
 * role change may be the very thing that brings the segment back.
 */
export async function hold(
  scope: Scope,
  transaction: DistributedTransaction,
  contents: readonly Content[],
  onClosed?: () => () => void,
): Promise<void> {
  const lost = transaction.lost
  if (lost !== undefined) throw lostInTransaction(lost)
  if (contents.every((content) => transaction.holds(content))) return
  const isFirst = !transaction.isHolding()
  const takesLocal = contents.includes(-1) && !transaction.holds(-1)
  const { lockTimeoutMs, services, slot } = scope
  const { clock } = services.ports
  const deadline = lockTimeoutMs <= 0 ? Infinity : clock.monotonic() + lockTimeoutMs
  for (;;) {
    const leave = takesLocal
      ? services.localUsers.enter(transaction, () => slot.fire('preempted'))
      : undefined
    try {
      await enterAll(scope, transaction, contents, { deadline, onClosed })
      if (isFirst) throwIfOutdated(scope)
      return
    } catch (error) {
      if (!takesLocal || slot.reason !== 'preempted') throw error
      slot.reset()
    } finally {
      leave?.()
    }
  }
}

async function enterAll(
  { slot, services: { ports }, lockTimeoutMs }: Scope,
  transaction: DistributedTransaction,
  contents: readonly Content[],
  { deadline, onClosed }: { readonly deadline: number; readonly onClosed: (() => () => void) | undefined },
): Promise<void> {
  let timer: { clear(): void } | undefined
  try {
    await transaction.touch(contents, {
      ...(onClosed === undefined ? {} : { onClosed }),
      onWait: (fail) => {
        slot.set(() => fail(slot.error()))
        timer?.clear()
        if (deadline === Infinity) return
        timer = ports.clock.setTimer(Math.max(1, deadline - ports.clock.monotonic()), () => {
          fail(
            new SqlError('55P03', 'canceling statement due to lock timeout', {
              detail: `Waited ${lockTimeoutMs} ms for content ${contents.join(', ')}.`,
            }),
          )
        })
      },
    })
  } finally {
    timer?.clear()
    slot.set(undefined)
  }
}

/** What the client of an autocommit statement is told. */
export function lostInAutocommit(lost: LaneLost): SqlError {
  if (lost.tookEffect === 'no') return lostInTransaction(lost)
  return new SqlError('08007', `transaction resolution unknown: ${lost.message}`, {
    hint: 'Look whether the change is there before running the statement again.',
    cause: lost,
  })
}
