/** Makes the real engine. */
import type { EnginePort } from './engine-port.ts'
import type { EngineOptions } from './options.ts'
import { PgliteEngine } from './pglite-engine.ts'

/** Makes an engine for an instance folder. Nothing happens before `startPrimary` or `startMirror`. */
export function createEngine(options: EngineOptions): EnginePort {
  return new PgliteEngine(options)
}
