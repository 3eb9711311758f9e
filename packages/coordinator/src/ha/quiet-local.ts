/**
 * The instance's own SQL (checkpoints, vacuum, slot, backup) on the coordinator's lane: between the transactions of clients, never inside
 * one and never while something prepared is pending (I6).
 */
import { decodeAnswer, type QuietLane } from '@mirabelle/instance'
import { MirabelleError } from '@mirabelle/messages'
import type { Clock, Timer } from '@mirabelle/runtime'
import type { Dispatcher } from '../dispatcher.ts'
import { ownItem } from '../dtx/resolver.ts'
import type { Lane } from '../lanes/lane.ts'
import type { LaneTicket, LaneUser } from '../lanes/lane-queue.ts'

/** `dispatcher` is undefined while the instance does not act as coordinator: there is no quiet moment then. */
export function quietLocalLane(clock: Clock, dispatcher: () => Dispatcher | undefined): QuietLane {
  return async (work, deadlineMs) => {
    const lane = dispatcher()?.lane(-1)
    if (lane === undefined || !lane.isOpen) return false
    const ticket = await enter(clock, lane, deadlineMs)
    if (ticket === undefined) return false
    try {
      await work(async (sql) => decodeAnswer(sql, (await lane.send(ownItem(sql, true)).promise).output))
      return true
    } finally {
      lane.queue.leave(ticket)
    }
  }
}

/** Waits for the lane; undefined when it was not free within `deadlineMs` or cannot be had. */
function enter(clock: Clock, lane: Lane, deadlineMs: number): Promise<LaneTicket | undefined> {
  const user: LaneUser = { age: Number.MAX_SAFE_INTEGER, requeueable: true, deadlockVictim() {} }
  return new Promise((resolve) => {
    let granted = false
    let timer: Timer | undefined
    // `hold` may grant before it returns.
    const entered = lane.hold(
      user,
      () => {
        granted = true
        timer?.clear()
        queueMicrotask(() => {
          resolve(entered instanceof MirabelleError ? undefined : entered)
        })
      },
      () => {
        timer?.clear()
        resolve(undefined)
      },
    )
    if (entered instanceof MirabelleError) return resolve(undefined)
    if (granted) return
    timer = clock.setTimer(deadlineMs, () => {
      if (entered.state !== 'waiting') return
      lane.queue.leave(entered)
      resolve(undefined)
    })
  })
}
