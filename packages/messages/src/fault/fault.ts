/** A fault that is to happen at a point, and which names are points. */
import { isMessageType } from '../message.ts'
import type { FaultRow } from '../protocol/fault-messages.ts'
import { namedFaultPoints, type FaultPoint, type MessagePoint } from './fault-points.ts'

/** A fault that is to happen. */
export type Fault = Omit<FaultRow, 'point' | 'state' | 'hits' | 'suspended'> & { readonly point: FaultPoint }

/** True for the name of a point. */
export function isFaultPoint(name: string): name is FaultPoint {
  return namedFaultPoints.has(name) || isMessagePoint(name)
}

/** True for `send.` or `receive.` and a message, unless it is one of those that work the fault points. */
export function isMessagePoint(name: string): name is MessagePoint {
  const type = /^(?:send|receive)\.(.+)$/.exec(name)?.[1]
  return type !== undefined && isMessageType(type) && !type.startsWith('fault.')
}
