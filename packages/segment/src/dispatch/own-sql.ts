/**
 * The segment's own statements. Their numbers are negative, so that nobody takes them for a coordinator's. They run as the superuser and find what they name in pg_catalog: the
 * backend works for whoever the last statement of a client worked for, who may do little, and who may have put names of his own in front.
 */
import type { EnginePort } from '@mirabelle/engine'
import { decodeAnswer, queryMessage, type TextRows } from '@mirabelle/instance'

/** Brings a session back to how it began, but for what DISCARD ALL throws away. */
const FRESH = queryMessage('SET SESSION AUTHORIZATION postgres; RESET ROLE; RESET ALL')
/** The number of the settings that a fresh backend has. */
const FRESH_SETTINGS = 0

export class OwnSql {
  readonly #engine: EnginePort
  #tag = -1

  constructor(engine: EnginePort) {
    this.#engine = engine
  }

  /** Ends the transaction that is open, if one is, whoever it works for: it may have failed, and then takes nothing else. */
  async rollback(): Promise<void> {
    const sql = 'ROLLBACK'
    const result = await this.#engine.submit({ bytes: queryMessage(sql), syncs: 1, tag: this.#tag-- })
    decodeAnswer(sql, result.output)
  }

  /** Runs one statement, outside of transactions; rejects when it fails. */
  async rows(sql: string): Promise<TextRows> {
    const request = {
      bytes: Buffer.concat([FRESH, queryMessage(sql)]),
      syncs: 2,
      preambleSyncs: 1,
      // What sessions have set is gone: their statements do not run without it.
      settings: FRESH_SETTINGS,
      setsSettings: true,
      tag: this.#tag--,
    }
    const result = await this.#engine.submit(request)
    return decodeAnswer(sql, result.output)
  }
}
