/**
 * How much room the disk of the data directory has, for those who ask how the instance is. Owned by the instance actor. One look at a time, bounded in time: a
 * disk that hangs says nothing, and holds up nobody.
 */
import { MirabelleError } from '@mirabelle/messages'
import { withTimeout, type Ports } from '@mirabelle/runtime'

const LOOK_MS = 300

export class DiskSpace {
  readonly #ports: Pick<Ports, 'clock' | 'disk' | 'log'>
  readonly #folder: string
  #running: Promise<number> | undefined
  #free: number | null = null

  constructor(ports: Pick<Ports, 'clock' | 'disk' | 'log'>, folder: string) {
    this.#ports = ports
    this.#folder = folder
  }

  /** Bytes that were free when it was last looked at; null when that is not known. */
  get free(): number | null {
    return this.#free
  }

  /** Looks. Never rejects. */
  async look(): Promise<void> {
    const { clock, disk, log } = this.#ports
    this.#running ??= disk.freeBytes(this.#folder).finally(() => {
      this.#running = undefined
    })
    try {
      this.#free = await withTimeout(
        clock,
        this.#running,
        LOOK_MS,
        () => new MirabelleError('timeout', 'statfs'),
      )
    } catch (error) {
      this.#free = null
      log.debug({ err: error }, `how full the disk of ${this.#folder} is cannot be told`)
    }
  }
}
