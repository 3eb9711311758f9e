/**
 * The disk check of a probe: writes a small file in PostgreSQL's directory, makes it durable and reads it back, off the main
 * thread, bounded in time. A disk that fails or hangs is a failed probe (replication §3).
 *
 * Owned by the instance actor. One check runs at a time; probes that come while it runs share it, so a hanging disk holds one
 * open file and not one for each probe.
 */
import { MirabelleError } from '@mirabelle/messages'
import { withTimeout, type Clock, type Disk } from '@mirabelle/runtime'

const BLOCK_BYTES = 8192

export class DiskCheck {
  readonly #clock: Clock
  readonly #disk: Disk
  readonly #path: string
  #running: Promise<void> | undefined
  #count = 0
  readonly #block = new Uint8Array(BLOCK_BYTES)

  constructor(ports: { readonly clock: Clock; readonly disk: Disk }, path: string) {
    this.#clock = ports.clock
    this.#disk = ports.disk
    this.#path = path
  }

  /** Resolves when the disk has done its work. Rejects with `disk.failed` when it failed, or has not ended within `timeoutMs`. */
  async check(timeoutMs: number): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
    await withTimeout(
      this.#clock,
      this.#running,
      timeoutMs,
      () =>
        new MirabelleError(
          'disk.failed',
          `disk IO check during FTS probe failed: ${this.#path} could not be written and read back within ${timeoutMs} ms`,
        ),
    )
  }

  async #run(): Promise<void> {
    this.#count += 1
    const block = this.#block.fill(this.#count & 0xff)
    new DataView(block.buffer).setFloat64(0, this.#clock.now())
    try {
      const file = await this.#disk.open(this.#path, 'a+')
      try {
        await file.write(0, block)
        await file.sync()
        const back = await file.read(0, BLOCK_BYTES)
        if (Buffer.compare(back, block) !== 0) {
          throw new MirabelleError(
            'disk.failed',
            `disk IO check during FTS probe failed: ${this.#path} reads back differently`,
          )
        }
      } finally {
        await file.close()
      }
    } catch (error) {
      if (error instanceof MirabelleError) throw error
      const message = `disk IO check during FTS probe failed: ${this.#path}: ${String(error)}`
      throw new MirabelleError('disk.failed', message, { cause: error })
    }
  }
}
