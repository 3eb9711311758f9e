/**
 * The backend of the coordinator's own lane: its own engine behind its own commit gate (I1 holds for content -1 too).
 * Never lost while the process lives; when the engine dies the process ends.
 */
import { DispatchFlag, MirabelleError } from '@mirabelle/messages'
import { DispatchedFlags, statementFailure, type EnginePort } from '@mirabelle/engine'
import type { BackendEvents, LaneBackend } from './lane-backend.ts'

export interface LocalOptions {
  readonly engine: EnginePort
  /** Calls back when WAL up to the position may be answered for; in order. */
  readonly whenDurable: (lsn: number, then: () => void) => void
  readonly cancelGraceMs: number
  readonly generation: number
}

/** Tags below this are for the runtime's own requests on the same engine. */
const TAG_BASE = 2 ** 40
/** For what the coordinator asks its engine before there are lanes. */
export const TAG_BEFORE_LANES = 2 ** 41

export function openLocalBackend(options: LocalOptions, events: BackendEvents): LaneBackend {
  let closed = false
  /** What PostgreSQL is done with, and may not be told yet. */
  const held = new Set<number>()
  const dispatched = new DispatchedFlags()
  return {
    generation: options.generation,
    send(seq, bytes, syncs, preambleSyncs, flags) {
      options.engine
        .submit({
          bytes,
          syncs,
          preambleSyncs,
          tag: TAG_BASE + seq,
          ...dispatched.read(seq, flags),
          ...((flags & DispatchFlag.stream) !== 0
            ? { onOutput: (chunk: Uint8Array) => events.onOutput(seq, chunk) }
            : {}),
        })
        .then(
          (result) => {
            held.add(seq)
            options.whenDurable(result.lsn, () => {
              held.delete(seq)
              if (!closed)
                events.onDone(seq, {
                  output: result.output,
                  lsn: result.lsn,
                  txStatus: result.txStatus,
                  generation: result.generation,
                })
            })
          },
          (error: unknown) => {
            if (closed) return
            const { code, message } = statementFailure(error)
            events.onFailed(seq, new MirabelleError(code ?? 'engine.died', message, { cause: error }))
          },
        )
    },
    cancel(seq) {
      options.engine.cancel(TAG_BASE + seq, options.cancelGraceMs)
    },
    hasRun(seq) {
      return Promise.resolve(held.has(seq))
    },
    settled() {
      return Promise.resolve({ floor: Number.MAX_SAFE_INTEGER, settled: [] })
    },
    close() {
      closed = true
    },
  }
}
