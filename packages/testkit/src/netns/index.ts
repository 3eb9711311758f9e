export { HostNetwork, whyNoNamespaces, type CutKind, type NetworkHost } from './host-network.ts'
export { networkHere, runInside } from './inside.ts'
export { hostsOfYaml, runOn, sqlOn, startOnHosts, type HostCluster } from './host-cluster.ts'
