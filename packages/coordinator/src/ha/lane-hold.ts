/**
 * Holds the lane of a content for the administrator: statements wait behind the hold and none of them fails.
 *
 * Made for one switchover; ended by `release`. Promise: from its grant to its release nothing of a client runs on the segment, nothing
 * prepared is pending there (I6), and everything that was sent before is answered.
 */
import { MirabelleError } from '@mirabelle/messages'
import { delay, type Clock } from '@mirabelle/runtime'
import { ownItem } from '../lanes/own-item.ts'
import { enterLane } from '../lanes/enter-lane.ts'
import type { Lane } from '../lanes/lane.ts'
import type { LaneUser } from '../lanes/lane-queue.ts'

const DRAIN_POLL_MS = 1
/** It holds nothing else, so it is part of no deadlock. */
const ADMINISTRATOR: LaneUser = { age: 0, requeueable: false, switchesOver: true, deadlockVictim() {} }

export interface LaneHold {
  readonly release: () => void
}

/** Holds the lane, or says in the error why it could not be had within `timeoutMs`: the clients' transactions go on as before. */
export async function holdLane(clock: Clock, lane: Lane, timeoutMs: number): Promise<LaneHold> {
  const deadline = clock.monotonic() + timeoutMs
  const ticket = await enterLane(clock, lane, ADMINISTRATOR, timeoutMs)
  if (ticket === undefined) throw tooLong(lane, timeoutMs)
  const release = (): void => lane.queue.leave(ticket)
  try {
    // What passed before is sent but perhaps not answered; the backend works in order, so an answer of our own comes after theirs.
    const last = lane.send(ownItem('SELECT 1', false))
    const timer = clock.setTimer(Math.max(1, deadline - clock.monotonic()), () => last.cancel())
    try {
      await last.promise
    } finally {
      timer.clear()
    }
    while (lane.inFlight > 0) {
      if (clock.monotonic() >= deadline) throw tooLong(lane, timeoutMs)
      await delay(clock, DRAIN_POLL_MS)
    }
    return { release }
  } catch (error) {
    release()
    throw error
  }
}

function tooLong(lane: Lane, timeoutMs: number): MirabelleError {
  return new MirabelleError(
    'timeout',
    `statements or transactions of content ${lane.content} did not end within ${timeoutMs} ms`,
  )
}
