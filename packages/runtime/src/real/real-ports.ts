/** The ports of a real process, in one bundle. */
import { openLogger } from '../log/pino-logger.ts'
import type { LoggerOptions } from '../log/pino-logger.ts'
import { realNetwork } from '../net/real-network.ts'
import type { RealNetworkOptions } from '../net/real-network.ts'
import type { Ports } from '../ports/ports.ts'
import { realClock } from './real-clock.ts'
import { realDisk } from './real-disk.ts'
import { realRandom } from './real-random.ts'

export type RealPortsOptions = LoggerOptions & Omit<RealNetworkOptions, 'log' | 'clock' | 'random'>

/** The real ports and what ends them. */
export interface RealPorts extends Ports {
  /** Writes out the log. Call it last, before the process ends. */
  flush(): void
}

/** Makes the ports of a process. The log is written out by itself when the process exits in an orderly way. */
export function createRealPorts(options: RealPortsOptions): RealPorts {
  const { log, flush } = openLogger(options)
  process.once('exit', flush)
  const network = realNetwork({ ...options, log: log.child({ actor: 'network' }) })
  return { clock: realClock, disk: realDisk, random: realRandom, network, log, flush }
}
