/**
 * One start of the engine's worker thread, seen from the main thread.
 *
 * Started by the engine for each start of the backend. Ends when the worker exits, which `ended` tells, after every message
 * of the worker was delivered.
 */
import type { Worker } from 'node:worker_threads'
import { JOURNAL_BYTES, ResultJournal } from '../shared/journal.ts'
import { SharedState } from '../shared/shared-state.ts'
import type { FromWorker, ToWorker, WorkerData } from '../shared/worker-protocol.ts'
import { takeThread } from './engine-thread.ts'

/** PostgreSQL's last log lines that are kept for error messages. */
const KEPT_LOG_LINES = 20

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
    this.#worker = takeThread()
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
    this.#worker.postMessage(data)
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
