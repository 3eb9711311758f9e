/**
 * A process of the simulation: what belongs to it stops when it is paused (SIGSTOP) and is gone when it ends (kill -9). Its memory is not
 * wiped: it can never run again, because all of its events are dropped.
 */
import type { SimEvent } from './event-heap.ts'
import type { SimHost } from './sim-host.ts'
import type { SimWorld } from './sim-world.ts'

export interface SimExit {
  readonly code: number | null
  readonly signal: string | null
}

export class SimProcess {
  readonly world: SimWorld
  readonly host: SimHost
  readonly name: string
  readonly pid: number
  readonly startedAtMs: number
  alive = true
  paused = false
  /** Resolves when it is gone. */
  readonly exited: Promise<SimExit>
  readonly #deferred: SimEvent[] = []
  readonly #onExit: ((exit: SimExit) => void)[] = []
  #tellExit: (exit: SimExit) => void = () => undefined

  constructor(host: SimHost, name: string, pid: number) {
    this.host = host
    this.world = host.world
    this.name = name
    this.pid = pid
    this.startedAtMs = this.world.nowMs
    this.exited = new Promise((resolve) => (this.#tellExit = resolve))
  }

  /** Called at the end of the process, before anyone else learns of it. */
  onExit(listener: (exit: SimExit) => void): void {
    this.#onExit.push(listener)
  }

  /** Plans something that this process does. */
  schedule(delayMs: number, run: () => void): SimEvent {
    return this.world.schedule(delayMs, this, run)
  }

  /** The world keeps an event that came while the process is paused. */
  defer(event: SimEvent): void {
    this.#deferred.push(event)
  }

  /** SIGSTOP. */
  pause(): void {
    if (!this.alive || this.paused) return
    this.paused = true
    this.world.trace.add(this.name, 'is paused')
    this.host.fabric.refresh()
  }

  /** SIGCONT: what came meanwhile happens now, in the order in which it came. */
  resume(): void {
    if (!this.alive || !this.paused) return
    this.paused = false
    this.world.trace.add(this.name, 'is resumed')
    for (const event of this.#deferred.splice(0)) {
      if (!event.cancelled)
        this.schedule(0, () => {
          if (!event.cancelled) event.run()
        })
    }
    this.host.fabric.refresh()
  }

  /** The end of the process, whatever the reason. `silently`: the whole host is gone, so nobody is told. */
  exit(exit: SimExit, silently = false): void {
    if (!this.alive) return
    this.alive = false
    this.paused = false
    this.#deferred.length = 0
    this.world.trace.add(this.name, `ends (pid ${this.pid}, ${exit.signal ?? `status ${exit.code}`})`)
    for (const listener of this.#onExit) listener(exit)
    this.host.fabric.processEnded(this, silently)
    this.#tellExit(exit)
  }

  /** kill -9 */
  kill(): void {
    this.exit({ code: null, signal: 'SIGKILL' })
  }
}
