/** One item under way. */
import type { LaneResult } from './lane-item.ts'

export interface LaneRun {
  readonly promise: Promise<LaneResult>
  /** Takes the item out of the queue, or cancels it where it runs; the promise rejects or carries 57014. */
  cancel(): void
}

/** That of an item which cannot be taken. */
export function rejectedRun(error: Error): LaneRun {
  return { promise: Promise.reject(error), cancel() {} }
}
