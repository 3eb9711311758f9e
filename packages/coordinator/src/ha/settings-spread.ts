/**
 * Brings the settings of the catalog to every instance: when they have changed, and whenever an instance is reached (again). Made by the
 * coordinator service, ended with it.
 *
 * Promise: the catalog wins. A coordinator that died between the change of its catalog and the telling, or an instance that was away, makes no
 * difference: the next contact tells. What an instance refuses or does not answer is told again until it has it.
 */
import { isMirabelleError, type ActionResult, type Dbid, type SegmentRow } from '@mirabelle/messages'
import type { Clock, Logger, Timer } from '@mirabelle/runtime'
import { sentence } from './cluster-admin.ts'
import type { SegmentLinks } from './segment-links.ts'
import type { Topology } from './topology.ts'

const TELL_TIMEOUT_MS = 2_000
const AGAIN_MS = 1_000

export interface SettingsSpreadOptions {
  readonly topology: Topology
  readonly links: SegmentLinks
  readonly clock: Clock
  readonly log: Logger
  readonly ownDbid: Dbid
  /** The own instance keeps and obeys the texts. */
  readonly configureOwn: (texts: Readonly<Record<string, string>>) => Promise<void>
  /** An instance obeys a higher epoch. */
  readonly onSuperseded: (reason: string) => void
}

export class SettingsSpread {
  readonly #options: SettingsSpreadOptions
  readonly #again = new Map<Dbid, Timer>()
  #closed = false

  constructor(options: SettingsSpreadOptions) {
    this.#options = options
  }

  /** A connection to the instance stands: it is told what it may have missed. */
  reached(dbid: Dbid): void {
    const row = this.#options.topology.row(dbid)
    if (row !== undefined && dbid !== this.#options.ownDbid) void this.#tell(row)
  }

  /** The own instance obeys the catalog from here on. */
  configureOwn(): Promise<void> {
    return this.#options.configureOwn(this.#options.topology.stampedSettings)
  }

  /** Tells everyone now. A result per other instance; those that did not answer in time are told at the next contact. */
  async spread(): Promise<ActionResult[]> {
    await this.configureOwn()
    const others = this.#options.topology.rows().filter(({ dbid }) => dbid !== this.#options.ownDbid)
    return Promise.all(others.map(async (row) => resultFor(row, await this.#tell(row))))
  }

  /** Undefined when the instance has the settings; else why it has not. */
  async #tell(row: SegmentRow): Promise<unknown> {
    if (this.#closed) return 'the coordinator is stopping'
    const { topology, links } = this.#options
    const { dbid, content } = row
    this.#again.get(dbid)?.clear()
    this.#again.delete(dbid)
    const settings = { ...topology.stampedSettings }
    const message = { type: 'instance.configure', dbid, content, epoch: topology.epoch, settings } as const
    try {
      await links.instance(row).request(message, TELL_TIMEOUT_MS)
      return undefined
    } catch (error) {
      this.#notTold(row, error)
      return error
    }
  }

  #notTold(row: SegmentRow, error: unknown): void {
    const { links, log, clock, onSuperseded } = this.#options
    if (this.#closed) return
    log.debug({ dbid: row.dbid, err: error }, 'an instance could not be told the settings')
    if (isMirabelleError(error, 'epoch.stale')) {
      onSuperseded(error.message)
      return
    }
    const link = links.instance(row)
    // A connection that gave no answer may be dead: the next one that is made tells.
    if (isMirabelleError(error, 'timeout')) link.drop(error)
    else if (link.connected)
      this.#again.set(
        row.dbid,
        clock.setTimer(AGAIN_MS, () => this.reached(row.dbid)),
      )
  }

  close(): void {
    this.#closed = true
    for (const timer of this.#again.values()) timer.clear()
  }
}

function resultFor({ dbid, content, status }: SegmentRow, failure: unknown): ActionResult {
  if (failure === undefined) return { dbid, content, outcome: 'done', message: 'has the settings' }
  const message = `gets the settings when it is reached again (${sentence(failure)})`
  return { dbid, content, outcome: status === 'd' ? 'skipped' : 'failed', message }
}
