/** The network of the machine: TCP, TLS between hosts, mutual proof of the cluster key. */
import type { Logger } from '../log/logger.ts'
import type { Clock } from '../ports/clock.ts'
import type { Network } from '../ports/network.ts'
import type { Random } from '../ports/random.ts'
import { realClock } from '../real/real-clock.ts'
import { realRandom } from '../real/real-random.ts'
import { Encryption } from './encryption.ts'
import type { CertificateFiles } from './encryption.ts'
import { deriveKeys } from './handshake-keys.ts'
import type { NetworkContext } from './network-context.ts'
import { openConnection } from './open-connection.ts'
import { openListener } from './open-listener.ts'

export interface RealNetworkOptions {
  /** The content of `cluster.key`: 16 bytes at least, 32 from `mirabelle init`. */
  readonly clusterKey: Uint8Array
  readonly log: Logger
  /** `auto` (default): loopback peers speak plainly, others over TLS. `always`: TLS for all. */
  readonly encryption?: 'auto' | 'always'
  /** Certificates from files instead of the pre-shared key. */
  readonly certificates?: CertificateFiles
  readonly clock?: Clock
  readonly random?: Random
}

/** Makes the real network. Throws when the key is too short or a certificate cannot be read. */
export function realNetwork(options: RealNetworkOptions): Network {
  const keys = deriveKeys(options.clusterKey)
  const { encryption: mode = 'auto', certificates, clock = realClock, random = realRandom } = options
  const encryption = new Encryption({
    mode,
    psk: keys.tls,
    ...(certificates === undefined ? {} : { certificates }),
  })
  const context: NetworkContext = {
    clock,
    log: options.log,
    keys,
    encryption,
    hex: (bytes) => random.hex(bytes),
  }
  return {
    listen: (endpoint, self, accept) => openListener(context, endpoint, self, accept),
    connect: (endpoint, hello, connectOptions) => openConnection(context, endpoint, hello, connectOptions),
  }
}
