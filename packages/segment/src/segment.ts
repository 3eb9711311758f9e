/**
 * A segment: an instance that executes what a coordinator dispatches (architecture §2, sql §1).
 *
 * Made by the main of the process with its assignment; ends as its instance does (`onEnd`). The instance knows roles, WAL and
 * promises; the lane knows statements; this file joins the two.
 */
import type { EnginePort } from '@mirabelle/engine'
import {
  InstanceActor,
  refusal,
  type CopyFromPeer,
  type InstanceHooks,
  type InstanceOptions,
  type RoleChange,
} from '@mirabelle/instance'
import { MirabelleError, type Assignment } from '@mirabelle/messages'
import type { Ports } from '@mirabelle/runtime'
import { acceptDispatch } from './dispatch/accept-dispatch.ts'
import { DispatchLane } from './dispatch/dispatch-lane.actor.ts'
import { PrimarySoon } from './dispatch/primary-soon.ts'

export interface SegmentOptions {
  readonly ports: Ports
  readonly clusterId: string
  readonly assignment: Assignment
  readonly engine: EnginePort
  /** The segment has ended: with an error (exit status other than 0) or because it was stopped. */
  readonly onEnd: InstanceHooks['onEnd']
  /** Told of role changes, after the lane was opened or closed. */
  readonly onRole?: (change: RoleChange) => void
  readonly copyFromPeer?: CopyFromPeer
  readonly onCopy?: InstanceHooks['onCopy']
  readonly buildBase?: InstanceHooks['buildBase']
  readonly wal?: InstanceOptions['wal']
  readonly processInfo?: InstanceOptions['processInfo']
  /** Checkpoints, slot, vacuum; off where the engine is no PostgreSQL. Default on. */
  readonly maintenance?: boolean
  /** Statements that bring the backend back to how a new session finds it. */
  readonly resetSql?: readonly string[]
}

/** A running segment. */
export interface Segment {
  readonly instance: InstanceActor
  /** Resolves when it is primary or mirror, or is being copied; rejects with why it cannot run. */
  start(): Promise<void>
  stop(mode: 'smart' | 'fast' | 'immediate'): Promise<void>
}

const RESET_SQL = ['DISCARD ALL']

/** Makes a segment. Nothing happens before `start`. */
export function createSegment(options: SegmentOptions): Segment {
  const { ports, engine, assignment } = options
  const log = ports.log.child({ dbid: assignment.dbid, content: assignment.content, actor: 'lane' })
  const lane = new DispatchLane({
    clock: ports.clock,
    log,
    engine,
    resetSql: options.resetSql ?? RESET_SQL,
  })
  const soon = new PrimarySoon(ports.clock)
  const hooks: InstanceHooks = {
    onEnd: options.onEnd,
    onRole: (change) => {
      followRole(instance, lane, change)
      soon.changed()
      options.onRole?.(change)
    },
    onDispatch: (connection, hello) => acceptDispatch(instance, lane, ports.clock, soon, connection, hello),
    onEpochRaised: (epoch) =>
      lane.evict(
        new MirabelleError(
          'epoch.stale',
          `dbid ${assignment.dbid} has promised epoch ${epoch} to another coordinator`,
        ),
      ),
    settledOf: (chunk) => lane.settledOf(chunk),
    onReleased: () => lane.flush(),
    quiesce: () => lane.quiesced(),
    quietLane: lane.quietLane,
    detail: () => (lane.depth === 0 ? '' : `${lane.depth} statements in the lane`),
    ...(options.copyFromPeer === undefined ? {} : { copyFromPeer: options.copyFromPeer }),
    ...(options.onCopy === undefined ? {} : { onCopy: options.onCopy }),
    ...(options.buildBase === undefined ? {} : { buildBase: options.buildBase }),
  }
  const instance = new InstanceActor({
    ports,
    clusterId: options.clusterId,
    assignment,
    engine,
    hooks,
    ...(options.wal === undefined ? {} : { wal: options.wal }),
    ...(options.processInfo === undefined ? {} : { processInfo: options.processInfo }),
    ...(options.maintenance === undefined ? {} : { maintenance: options.maintenance }),
  })
  return {
    instance,
    start: () => instance.start(),
    stop: (mode) => instance.stop(mode),
  }
}

function followRole(instance: InstanceActor, lane: DispatchLane, change: RoleChange): void {
  const { primary, gate } = instance
  if (change.to === 'primary' && primary !== undefined && gate !== undefined) {
    lane.open({
      gate,
      endLsn: () => primary.hub.endLsn,
      generation: instance.generation,
      onFatal: (error) => instance.fail(error),
    })
    return
  }
  const reason = refusal('dispatch.open', change.to, {
    dbid: instance.dbid,
    content: instance.content,
    reason: change.reason,
  })
  if (reason !== undefined) lane.close(reason)
}
