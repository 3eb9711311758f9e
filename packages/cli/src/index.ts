export { Cluster, createCluster, openCluster } from './create-cluster.ts'
export type { CreateClusterOptions, RunningInstance } from './create-cluster.ts'
export type { ActivationReport } from './cluster/activate-standby.ts'
export type { StartReport } from './cluster/start-cluster.ts'
export type { HeadlessState } from './cluster/state-of.ts'
export type { StopMode } from './cluster/stop-cluster.ts'
export type { RecoverMode } from './commands/recover.ts'
export { CliError } from './errors.ts'
export { silentReporter, terminalReporter, type Reporter } from './terminal/reporter.ts'
export { chooseMirrorHosts, type MirrorHosts, type PlacedPrimary } from './placement/mirror-hosts.ts'
export { planCluster } from './placement/plan-cluster.ts'
export {
  PlacementError,
  type ClusterDescription,
  type ClusterPlan,
  type Mirroring,
  type PlacementHost,
} from './placement/placement.ts'
