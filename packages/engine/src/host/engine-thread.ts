/**
 * The engine's worker threads: one that is being made already is taken before a new one is.
 *
 * Before a mirror starts PostgreSQL it finds the end of its WAL, asks its primary, or copies a whole base. The thread, its modules and the compiled
 * PostgreSQL need nothing of that: `prepareMirror` lets them be made meanwhile, where somebody waits for replay. A thread knows of no folder before it is told to begin (worker/begin.ts).
 */
import { Worker } from 'node:worker_threads'
import { compiledPostgres } from './postgres-wasm.ts'

/**
 * What the thread may hold of young objects, MB. It keeps next to nothing from one batch to the next, so a small one costs no time;
 * without a limit V8 takes 16 MB more while PostgreSQL starts, and keeps them.
 */
const YOUNG_MB = 6
/**
 * Stack of the thread, MB. PostgreSQL refuses a statement that is too deep (54001) by the stack that it sees, which lies in WebAssembly's memory; the
 * calls themselves are on this one, and if it ends first PostgreSQL is gone. It takes memory only where it was used.
 */
const STACK_MB = 64

let spare: Worker | undefined

/** Begins to make what a start as mirror needs and that has nothing to do with its folder. Whoever starts one waits for the rest of it, and hears of a failure. */
export function prepareMirror(): void {
  compiledPostgres('all').catch(() => undefined) // told to the start
  if (spare !== undefined) return
  const worker = makeThread()
  spare = worker
  worker.unref()
  worker.once('error', () => undefined) // the one that is made instead says it again
  worker.once('exit', () => {
    if (spare === worker) spare = undefined
  })
}

/** A thread that waits to be told to begin. */
export function takeThread(): Worker {
  const worker = spare ?? makeThread()
  spare = undefined
  worker.ref()
  return worker
}

function makeThread(): Worker {
  // The worker is always the compiled file: a worker does not inherit a loader that runs TypeScript.
  return new Worker(new URL('../worker/main.js', import.meta.url), {
    name: 'engine',
    execArgv: [],
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB, stackSizeMb: STACK_MB },
  })
}
