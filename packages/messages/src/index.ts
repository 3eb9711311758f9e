export * from './lsn.ts'
export * from './ids.ts'
export * from './message.ts'
export { messageCatalog } from './protocol/catalog.ts'
export { DispatchFlag } from './protocol/dispatch-messages.ts'
export type { Field, TypeOf } from './protocol/field.ts'
export type {
  ActionResult,
  AgentInstanceRow,
  ClusterState,
  CopyState,
  InstanceStateRow,
  ReplicationRow,
  SettingRow,
} from './protocol/instance-messages.ts'
export type { FolderFacts, MirrorMove, MirrorPlace, MirrorStep } from './protocol/mirror-messages.ts'
export { doesItsPart } from './instance-state.ts'
export { walKept, walSinceBase } from './wal-bounds.ts'
export * from './errors.ts'
export { diskFullOr, diskFullWords, isDiskFull } from './disk-full.ts'
export { faultActions, type FaultAction, type FaultRow } from './protocol/fault-messages.ts'
export * from './fault/fault.ts'
export * from './fault/fault-points.ts'
export { isThreadFaultPoint, ThreadFaults, type ThreadFaultPoint } from './fault/thread-faults.ts'
export * from './settings.ts'
export * from './setting-values.ts'
export * from './settings-stamp.ts'
export * from './assignment-entries.ts'
