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
export * from './errors.ts'
export * from './settings.ts'
export * from './setting-values.ts'
export * from './settings-stamp.ts'
