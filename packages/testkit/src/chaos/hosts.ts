/** The hosts of a run on network namespaces. */
import type { NetworkHost } from '../netns/host-network.ts'

/** Each is on two networks. */
export const chaosHosts: readonly NetworkHost[] = [1, 2, 3].map((n) => ({
  name: `host${n}`,
  addresses: [`10.0.0.1${n}`, `10.1.0.1${n}`],
}))

/** Where clients and the administrator are. */
export const chaosClient: NetworkHost = { name: 'client', addresses: ['10.0.0.100', '10.1.0.100'] }

/** Their cluster, but for the folders. */
export function clusterYaml(segments: number, settings: Readonly<Record<string, string>>): string {
  return JSON.stringify({
    cluster: {
      coordinator: 'host1',
      standby: 'host2',
      segments,
      // A host's own people set the first password.
      settings: { loopback_trust: 'on', ...settings },
    },
    hosts: chaosHosts.map((host) => ({ ...host, dir: '/' })),
  })
}
