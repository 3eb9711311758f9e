/** Waits for a lane, for the runtime's own users of it (maintenance, switchovers). */
import { MirabelleError } from '@mirabelle/messages'
import type { Clock } from '@mirabelle/runtime'
import type { Lane } from './lane.ts'
import type { LaneTicket, LaneUser } from './lane-queue.ts'

/** Resolves with the ticket that holds the lane, or with undefined when it was not free within `timeoutMs`. Rejects when the lane cannot be had. */
export function enterLane(
  clock: Clock,
  lane: Lane,
  user: LaneUser,
  timeoutMs: number,
): Promise<LaneTicket | undefined> {
  return new Promise((resolve, reject) => {
    const waiting: { end?: () => void } = {}
    // `hold` may grant before it returns.
    const granted = (): void => {
      waiting.end?.()
      queueMicrotask(() => resolve(entered as LaneTicket))
    }
    const entered = lane.hold(user, granted, (error) => {
      waiting.end?.()
      reject(error)
    })
    if (entered instanceof MirabelleError) return reject(entered)
    if (entered.state !== 'waiting') return
    const timer = clock.setTimer(timeoutMs, () => {
      if (entered.state !== 'waiting') return
      lane.queue.leave(entered)
      resolve(undefined)
    })
    waiting.end = () => timer.clear()
  })
}
