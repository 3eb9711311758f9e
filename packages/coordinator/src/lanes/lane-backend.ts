/**
 * The backend of a lane: where its items really run. Two sides: a dispatch connection to the acting primary of a content
 * (remote-backend.ts) and the coordinator's own engine behind its commit gate (local-backend.ts).
 * Items run in the order of `send`; answers come in that order too.
 */
import type { MirabelleError, SettledEntry } from '@mirabelle/messages'
import type { LaneResult } from './lane-item.ts'
import type { SendLimits } from './send-window.ts'

/** What a backend tells its lane. */
export interface BackendEvents {
  onDone(seq: number, result: LaneResult & { readonly generation: number }): void
  /** The item did not run to its end, for a reason of its own (cancelled, …). The backend lives on. */
  onFailed(seq: number, error: MirabelleError): void
  /** A piece of a big answer; resolves (or returns) when it has been passed on. */
  onOutput(seq: number, chunk: Uint8Array): void | Promise<void>
  /** The backend is gone; nothing more will come. Called once. */
  onLost(reason: MirabelleError): void
}

export interface LaneBackend {
  /** Generation of the PostgreSQL backend at the time of opening. */
  readonly generation: number
  /** What it takes; undefined: anything. */
  readonly limits?: SendLimits
  /** Takes an item, encoded. `flags` are bits of DispatchFlag. */
  send(seq: number, bytes: Uint8Array, syncs: number, preambleSyncs: number, flags: number): void
  cancel(seq: number): void
  /**
   * Whether PostgreSQL is done with an item whose answer has not come: the answer is held back then. Rejects when nothing is heard.
   */
  hasRun(seq: number): Promise<boolean>
  /** Which of these items of this incarnation took effect, as the backend's received WAL tells. */
  settled(seqs: readonly number[]): Promise<{ floor: number; settled: readonly SettledEntry[] }>
  close(): void
}

/** Opens a backend. Rejects with a MirabelleError when the content cannot be reached now. */
export type OpenBackend = (events: BackendEvents, nextSeq: number) => Promise<LaneBackend>
