/**
 * What a lane knows of the PostgreSQL backend at its end: which session settings are applied, which prepared statements exist.
 * All of it is void when the backend's generation changes.
 */
import { DispatchFlag } from '@mirabelle/messages'
import type { LaneItem, SessionSettings } from './lane-item.ts'
import { closeStatementMessage, queryMessage } from './frontend-bytes.ts'

/** Beyond so many prepared statements the backend is told to forget them all. */
const MAX_STATEMENTS = 1_000
/** The role that initdb made. Named, because a single-user backend knows no default to which RESET SESSION AUTHORIZATION could go back. */
export const SUPERUSER = 'postgres'
const EMPTY = new Uint8Array(0)

/** An item made ready to be sent. */
export interface EncodedItem {
  readonly bytes: Uint8Array
  readonly syncs: number
  readonly preambleSyncs: number
  /** What its settings add to its flags: it brings them along, or counts on those that were sent last. */
  readonly flags: number
  /** The name of a statement that these bytes prepare under way. */
  readonly prepares: string | undefined
}

export class BackendState {
  #generation: number
  #settingsKey: string | undefined = ''
  /** true = there, false = on its way (not yet confirmed). */
  readonly #statements = new Map<string, boolean>()

  constructor(generation: number) {
    this.#generation = generation
  }

  /** Called with each answer: a new generation forgets everything. */
  sawGeneration(generation: number): void {
    if (generation === this.#generation) return
    this.#generation = generation
    this.#settingsKey = undefined
    this.#statements.clear()
  }

  /** A transaction was rolled back or failed: SETs made in it are undone. */
  forgetSettings(): void {
    this.#settingsKey = undefined
  }

  /** Confirms or withdraws a statement that was prepared under way. */
  prepared(name: string, there: boolean): void {
    if (there) this.#statements.set(name, true)
    else this.#statements.delete(name)
  }

  /** The bytes of an item for this backend: only the settings that differ, only the statement that is missing. */
  encode(item: LaneItem): EncodedItem {
    const preamble: Uint8Array[] = []
    let flags = 0
    if (item.settings !== undefined) {
      const areThere = this.#settingsKey === item.settings.key && item.bringsSettings !== true
      flags = areThere ? DispatchFlag.needsSettings : DispatchFlag.setsSettings
      if (!areThere) preamble.push(queryMessage(settingsScript(item.settings)))
      this.#settingsKey = item.settings.key
    }
    for (const statement of item.lead ?? []) preamble.push(queryMessage(statement))
    let parse = EMPTY
    let prepares: string | undefined
    if (item.statement !== undefined && this.#statements.get(item.statement.name) !== true) {
      if (this.#statements.size >= MAX_STATEMENTS) {
        preamble.push(queryMessage('DEALLOCATE ALL'))
        this.#statements.clear()
      }
      this.#statements.set(item.statement.name, false)
      // Closing what may be on its way already is no error, so preparing again cannot fail.
      parse = Buffer.concat([closeStatementMessage(item.statement.name), item.statement.parse])
      prepares = item.statement.name
    }
    if (preamble.length === 0 && prepares === undefined) {
      return { bytes: item.bytes, syncs: item.syncs, preambleSyncs: 0, flags, prepares: undefined }
    }
    return {
      bytes: Buffer.concat([...preamble, parse, item.bytes]),
      syncs: item.syncs + preamble.length,
      preambleSyncs: preamble.length,
      flags,
      prepares,
    }
  }
}

function settingsScript(settings: SessionSettings): string {
  return `SET SESSION AUTHORIZATION ${SUPERUSER}; RESET ROLE; RESET ALL${settings.sql === '' ? '' : `; ${settings.sql}`}`
}
