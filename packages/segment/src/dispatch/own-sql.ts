/** The segment's own statements. Their numbers are negative, so that nobody takes them for a coordinator's. */
import type { EnginePort } from '@mirabelle/engine'
import { decodeAnswer, queryMessage, type TextRows } from '@mirabelle/instance'

export class OwnSql {
  readonly #engine: EnginePort
  #tag = -1

  constructor(engine: EnginePort) {
    this.#engine = engine
  }

  /** Runs one statement; rejects when it fails. */
  async rows(sql: string): Promise<TextRows> {
    const request = { bytes: queryMessage(sql), syncs: 1, tag: this.#tag-- }
    const result = await this.#engine.submit(request)
    return decodeAnswer(sql, result.output)
  }
}
