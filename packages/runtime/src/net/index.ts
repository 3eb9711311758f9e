/** The parts of the real network, for those who try them without sockets: `@mirabelle/runtime/net`. */
export { acceptPeer, type AcceptOptions } from './accept-peer.ts'
export { Encryption } from './encryption.ts'
export { deriveKeys } from './handshake-keys.ts'
export { AccepterHandshake, MAX_HANDSHAKE_BYTES, OpenerHandshake } from './handshake.ts'
export type { NetworkContext } from './network-context.ts'
export { UnprovenConnections } from './unproven-connections.ts'
