/** What every part of the real network needs. */
import type { Logger } from '../log/logger.ts'
import type { Clock } from '../ports/clock.ts'
import type { Encryption } from './encryption.ts'
import type { HandshakeKeys } from './handshake-keys.ts'

export interface NetworkContext {
  readonly clock: Clock
  readonly log: Logger
  readonly keys: HandshakeKeys
  readonly encryption: Encryption
  /** Random bytes in hexadecimal. */
  readonly hex: (bytes: number) => string
}
