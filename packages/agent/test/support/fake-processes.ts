/** Processes that do what a test says. */
import type { ProcessExit, Processes, SpareProcess, WatchedProcess } from '@mirabelle/agent'

export interface FakeProcess extends WatchedProcess {
  readonly signals: string[]
  end(exit: ProcessExit): void
}

export class FakeProcesses implements Processes {
  readonly made: FakeProcess[] = []
  /** Spares that were told to begin, with what. */
  readonly begun: string[] = []
  /** A spawn waits for this. */
  gate: Promise<void> = Promise.resolve()
  failure: Error | undefined
  /** A process that cannot be ended by a signal. */
  immortal = false
  #left: FakeProcess | undefined
  #pid = 1_000_000

  async spawn(): Promise<WatchedProcess> {
    await this.gate
    if (this.failure !== undefined) throw this.failure
    return this.#make(++this.#pid)
  }
  async spare(): Promise<SpareProcess> {
    const process = await this.spawn()
    return { ...process, begin: (startFile) => this.begun.push(`${process.pid} ${startFile}`) }
  }
  /** One that another agent has started holds the folder, until it ends. */
  leave(): FakeProcess {
    const process = this.#make(++this.#pid)
    this.made.pop()
    this.#left = process
    void process.exited.then(() => {
      if (this.#left === process) this.#left = undefined
    })
    return process
  }
  holderOf(): Promise<number | undefined> {
    return Promise.resolve(this.#left?.pid)
  }
  adopt(pid: number): WatchedProcess {
    return this.#left?.pid === pid ? this.#left : this.#make(pid)
  }

  #make(pid: number): FakeProcess {
    const signals: string[] = []
    let end: (exit: ProcessExit) => void = () => {}
    const exited = new Promise<ProcessExit>((resolve) => {
      end = resolve
    })
    const process: FakeProcess = {
      pid,
      exited,
      signals,
      end,
      kill: (signal) => {
        signals.push(signal)
        if (!this.immortal) end({ code: null, signal })
      },
    }
    this.made.push(process)
    return process
  }
}
