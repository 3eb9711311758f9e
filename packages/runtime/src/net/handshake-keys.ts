/** What is derived from the cluster key. The key itself is never sent, and no two uses share a derived key. */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'

/** Bytes of a cluster key at least. */
export const MIN_CLUSTER_KEY_BYTES = 16

export interface HandshakeKeys {
  /** Proves the one who opens the connection. */
  readonly opener: Buffer
  /** Proves the one who accepts it. */
  readonly accepter: Buffer
  /** Pre-shared key of TLS. */
  readonly tls: Buffer
}

/** Derives the keys. Throws a RangeError for a key that is too short. */
export function deriveKeys(clusterKey: Uint8Array): HandshakeKeys {
  if (clusterKey.length < MIN_CLUSTER_KEY_BYTES)
    throw new RangeError(
      `a cluster key has ${MIN_CLUSTER_KEY_BYTES} bytes at least, this one ${clusterKey.length}`,
    )
  const derive = (use: string): Buffer => Buffer.from(hkdfSync('sha256', clusterKey, 'mirabelle', use, 32))
  return {
    opener: derive('handshake opener'),
    accepter: derive('handshake accepter'),
    tls: derive('tls psk'),
  }
}

/** HMAC-SHA256 over parts, each with its length in front so that no two lists of parts look alike. */
export function proof(key: Buffer, parts: readonly Uint8Array[]): Buffer {
  const hmac = createHmac('sha256', key)
  for (const part of parts) {
    const length = Buffer.allocUnsafe(4)
    length.writeUInt32BE(part.length)
    hmac.update(length).update(part)
  }
  return hmac.digest()
}

/** Compares in constant time. */
export function proves(given: unknown, expected: Buffer): boolean {
  return given instanceof Uint8Array && given.length === expected.length && timingSafeEqual(given, expected)
}
