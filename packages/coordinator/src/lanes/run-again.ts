/**
 * An item that did not run, because its backend lacked what it counted on, or because it went down first, runs again. Others may have entered the lane behind it in the meantime: an
 * autocommit statement never runs inside the transaction of one of them, but behind it, ahead of all who wait; or before it, when that has not begun either.
 */
import type { LaneQueue, LaneTicket } from './lane-queue.ts'
import { cancelledByUser, type Sent } from './sent.ts'

/** `send`: on the line of that moment. The item is answered as ever, or rejected with what `fits` throws. */
export function runAgain(queue: LaneQueue, sent: Sent, send: () => void): void {
  const go = (): void => {
    try {
      if (sent.cancelled) throw cancelledByUser()
      sent.item.fits?.()
    } catch (error) {
      return sent.reject(error as Error)
    }
    send()
  }
  const isPartOfOne = sent.item.whenLost === 'fail'
  if (isPartOfOne && sent.item.lead !== undefined) queue.letAheadGo()
  if (isPartOfOne || queue.holder?.user.hasBegunOn?.(queue.content) !== true) return go()
  const ticket: LaneTicket = queue.enterFirst(
    { age: 0, requeueable: false, hadItsTurn: true, deadlockVictim() {} },
    () => {
      go()
      queueMicrotask(() => queue.leave(ticket))
    },
    sent.reject,
  )
}
