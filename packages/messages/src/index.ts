export * from './lsn.ts'
export * from './ids.ts'
export * from './message.ts'
export { messageCatalog } from './protocol/catalog.ts'
export type { Field, TypeOf } from './protocol/field.ts'
export type {
  ActionResult,
  AgentInstanceRow,
  ClusterState,
  InstanceStateRow,
  ReplicationRow,
  SettingRow,
} from './protocol/instance-messages.ts'
export * from './errors.ts'
export * from './settings.ts'
export * from './setting-values.ts'
export * from './settings-stamp.ts'
