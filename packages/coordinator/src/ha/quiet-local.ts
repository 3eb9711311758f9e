/**
 * The instance's own SQL (checkpoints, vacuum, slot, backup) on the coordinator's lane: between the transactions of clients, never inside
 * one and never while something prepared is pending (I6).
 */
import { decodeAnswer, type QuietLane } from '@mirabelle/instance'
import type { Clock } from '@mirabelle/runtime'
import type { Dispatcher } from '../dispatcher.ts'
import { ownItem } from '../lanes/own-item.ts'
import { enterLane } from '../lanes/enter-lane.ts'
import type { LaneUser } from '../lanes/lane-queue.ts'

/** The youngest of all: it gives way to every client. */
const MAINTENANCE: LaneUser = { age: Number.MAX_SAFE_INTEGER, requeueable: true, deadlockVictim() {} }

/** `dispatcher` is undefined while the instance does not act as coordinator: there is no quiet moment then. */
export function quietLocalLane(clock: Clock, dispatcher: () => Dispatcher | undefined): QuietLane {
  return async (work, deadlineMs) => {
    const lane = dispatcher()?.lane(-1)
    if (lane === undefined || !lane.isOpen) return false
    const ticket = await enterLane(clock, lane, MAINTENANCE, deadlineMs).catch(() => undefined) // no lane, no quiet moment
    if (ticket === undefined) return false
    try {
      await work(async (sql) => decodeAnswer(sql, (await lane.send(ownItem(sql, true)).promise).output))
      return true
    } finally {
      lane.queue.leave(ticket)
    }
  }
}
