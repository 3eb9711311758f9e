/**
 * Fences old primaries beside the machine: started at each failover, waited for by nobody, so that a host that is gone does not delay
 * PROMOTE. One attempt at a time; a failure is logged, and I1 keeps the old primary from answering meanwhile.
 */
import type { SegmentRow } from '@mirabelle/messages'
import type { Logger } from '@mirabelle/runtime'
import type { FtsTransport } from './fts-ports.ts'

export class Fencer {
  readonly #transport: FtsTransport
  readonly #log: Logger
  readonly #underWay = new Set<number>()

  constructor(transport: FtsTransport, log: Logger) {
    this.#transport = transport
    this.#log = log
  }

  /** Never rejects. */
  async fence(row: SegmentRow): Promise<void> {
    const { dbid, content } = row
    if (this.#underWay.has(dbid)) return
    this.#underWay.add(dbid)
    try {
      await this.#transport.fence(row, `dbid ${dbid} is no longer primary of content ${content}`)
      this.#log.info({ dbid }, 'The old primary is fenced.')
    } catch (error) {
      this.#log.warn(
        { dbid, err: error },
        'The old primary could not be fenced; without its mirror it cannot answer.',
      )
    } finally {
      this.#underWay.delete(dbid)
    }
  }
}
