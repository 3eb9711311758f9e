/** What the flags of a dispatched statement mean for the engine: the same on a segment and for the coordinator's own content. */
import { DispatchFlag } from '@mirabelle/messages'
import type { EngineRequest } from './engine-port.ts'

/** What flags say of a request. */
export type DispatchedRequest = Pick<
  EngineRequest,
  'inTransaction' | 'mustSucceed' | 'settings' | 'setsSettings'
>

/** Reads the flags of one line of statements. Each has to be told, in the order of dispatch, those that never run too. */
export class DispatchedFlags {
  /** The statement that has set, or was to set, the settings that those behind it count on. */
  #settings = 0

  read(seq: number, flags: number): DispatchedRequest {
    const has = (flag: number): boolean => (flags & flag) !== 0
    const setsSettings = has(DispatchFlag.setsSettings)
    if (setsSettings) this.#settings = seq
    return {
      inTransaction: has(DispatchFlag.inTransaction),
      mustSucceed: has(DispatchFlag.mustSucceed),
      ...(setsSettings || has(DispatchFlag.needsSettings) ? { settings: this.#settings, setsSettings } : {}),
    }
  }
}
