/**
 * One start of the engine's worker thread, seen from the main thread.
 *
 * Started by the engine for each start of the backend. Ends when the worker exits, which `ended` tells, after every message
 * of the worker was delivered.
 */
import { Worker } from 'node:worker_threads'
import { JOURNAL_BYTES, ResultJournal } from '../shared/journal.ts'
import { SharedState } from '../shared/shared-state.ts'
import type { FromWorker, ToWorker, WorkerData } from '../shared/worker-protocol.ts'

/** PostgreSQL's last log lines that are kept for error messages. */
const KEPT_LOG_LINES = 20
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

export interface WorkerHostOptions extends Omit<WorkerData, 'shared' | 'journal'> {
  readonly onMessage: (message: FromWorker) => void
  /** The thread is gone; `error` when it threw. */
  readonly onExit: (error: Error | undefined) => void
}

export class WorkerHost {
  readonly state = new SharedState()
  readonly journal = new ResultJournal(new SharedArrayBuffer(JOURNAL_BYTES))
  /** Settles when the thread has ended. */
  readonly ended: Promise<void>
  /** PostgreSQL's last log lines, oldest first. */
  readonly log: string[] = []
  readonly #worker: Worker

  constructor(options: WorkerHostOptions) {
    const { onMessage, onExit, ...rest } = options
    const data: WorkerData = { ...rest, shared: this.state.buffer, journal: this.journal.buffer }
    // The worker is always the compiled file: a worker does not inherit a loader that runs TypeScript.
    this.#worker = new Worker(new URL('../worker/main.js', import.meta.url), {
      workerData: data,
      name: 'engine',
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB, stackSizeMb: STACK_MB },
    })
    let thrown: Error | undefined
    this.#worker.on('message', (message: FromWorker) => {
      if (message.type === 'log') this.#keep(message.line)
      onMessage(message)
    })
    this.#worker.on('error', (error) => {
      thrown = error
    })
    this.ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        onExit(thrown)
        resolve()
      })
    })
  }

  send(message: ToWorker, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer)
  }

  /** Ends the thread wherever it is. */
  async terminate(): Promise<void> {
    await this.#worker.terminate()
    await this.ended
  }

  #keep(line: string): void {
    this.log.push(line)
    if (this.log.length > KEPT_LOG_LINES) this.log.shift()
  }
}
