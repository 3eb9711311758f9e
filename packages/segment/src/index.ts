export { createSegment } from './segment.ts'
export type { Segment, SegmentOptions } from './segment.ts'
export { MAX_PENDING, MAX_PENDING_BYTES } from './dispatch/dispatch-lane.actor.ts'
export { WINDOW_BYTES } from './dispatch/output-window.ts'
