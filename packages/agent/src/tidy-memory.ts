/** Gives back what the start of a process has left behind. */
import { Session } from 'node:inspector'

/** When the modules are loaded and PostgreSQL runs; and when the last work of a start is done (the catalog, the links to all segments). */
const SETTLED_MS: readonly number[] = [800, 2_500]

/**
 * A whole garbage collection soon after the start, and one more, which also takes the space for young objects back to what they need: loading 490 modules makes it grow
 * to 16 MB, and V8 never shrinks it in a process that has little to do. It takes some 40 ms. (The inspector's own collection, inside this process: `gc()`
 * leaves the young space as it is. The callback runs inside of it, holding a lock that `disconnect` takes: there it would wait for itself.)
 */
export function tidyMemorySoon(afterMs = SETTLED_MS): void {
  for (const ms of afterMs) setTimeout(tidyMemory, ms).unref()
}

function tidyMemory(): void {
  const session = new Session()
  session.connect()
  session.post('HeapProfiler.collectGarbage', () => setImmediate(() => session.disconnect()))
}
