/** The ports that every actor gets, in one bundle. */
import type { Clock } from './clock.ts'
import type { Disk } from './disk.ts'
import type { Network } from './network.ts'
import type { Random } from './random.ts'
import type { Logger } from '../log/logger.ts'

export interface Ports {
  readonly clock: Clock
  readonly network: Network
  readonly disk: Disk
  readonly random: Random
  readonly log: Logger
}
