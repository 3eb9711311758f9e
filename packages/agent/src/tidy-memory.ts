/** Gives back what the start of a process has left behind. */
import { Session } from 'node:inspector'

/** The last work of a start (the catalog, the links to all segments) is done by then. */
const SETTLED_MS = 2_000

/**
 * One whole garbage collection soon after the start, which also takes the space for young objects back to what they need: loading 490 modules makes it grow
 * to 16 MB, and V8 never shrinks it in a process that has little to do. It takes some 40 ms. (The inspector's own collection, inside this process: `gc()`
 * leaves the young space as it is. The callback runs inside of it, holding a lock that `disconnect` takes: there it would wait for itself.)
 */
export function tidyMemorySoon(afterMs = SETTLED_MS): void {
  setTimeout(() => {
    const session = new Session()
    session.connect()
    session.post('HeapProfiler.collectGarbage', () => setImmediate(() => session.disconnect()))
  }, afterMs).unref()
}
