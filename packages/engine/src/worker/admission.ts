/**
 * Which requests may not run, and what they are answered instead. Requests are sent ahead, in the belief that those before them do their work: that a transaction is open, that
 * the settings of a session apply (whom it works for, where it looks for tables). Where that has not come true, by a cancel, an error or a new start of PostgreSQL, what was sent behind would
 * change what it should not, or run as somebody else. Made by the protocol runner, lives as long as its PostgreSQL.
 */
import { SETTINGS_LACKING } from '../engine-port.ts'
import { ANY_SETTINGS, type WireRequest } from '../shared/worker-protocol.ts'

/** ReadyForQuery's status outside of transactions. */
export const IDLE = 0x49
/** Number of settings that nobody counts on. */
const UNKNOWN_SETTINGS = -2

const OUTSIDE = refusal('40001', 'the transaction is not open any more: the statement did not run')
const LACKING = refusal(
  SETTINGS_LACKING,
  'the settings of the session do not apply any more: the statement did not run',
)

function refusal(sqlstate: string, message: string): Uint8Array {
  const fields = new TextEncoder().encode(`SERROR\0VERROR\0C${sqlstate}\0M${message}\0\0`)
  return Uint8Array.from([0x45, 0, 0, 0, fields.length + 4, ...fields, 0x5a, 0, 0, 0, 5, IDLE])
}

export class Admission {
  /** Those that apply; 0 are those of a fresh backend. */
  #settings = 0
  /** They were set inside the transaction that is open: they go with it, unless it commits. */
  #goWithTransaction = false
  /** The running request sets them, and has not yet. */
  #isSetting = false

  /** What a request is answered that may not run. */
  refuse(request: WireRequest, status: number): Uint8Array | undefined {
    const lacks =
      !request.setsSettings && request.settings !== ANY_SETTINGS && request.settings !== this.#settings
    const answer = status !== IDLE ? undefined : request.inTransaction ? OUTSIDE : lacks ? LACKING : undefined
    this.#isSetting = request.setsSettings && answer === undefined
    return answer
  }

  /** PostgreSQL has answered a part of a request that runs. */
  answered(request: WireRequest, status: number, hasFailed: boolean): void {
    if (this.#isSetting) {
      this.#isSetting = false
      this.#settings = hasFailed ? UNKNOWN_SETTINGS : request.settings
      this.#goWithTransaction = status !== IDLE
    } else if (this.#goWithTransaction && status === IDLE) {
      this.#goWithTransaction = false
      this.#settings = UNKNOWN_SETTINGS
    }
  }
}
