/**
 * What a service manager does on each host: keeps its agent running, as the unit file says. Made with a cluster on hosts; `close()` ends its part, the processes end with
 * their network or their cluster.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import type { HostNetwork } from './host-network.ts'

export interface ServiceOptions {
  readonly network: HostNetwork
  /** The command of the service on a host, and its folder. */
  readonly unitOf: (host: string) => { readonly command: readonly string[]; readonly dir: string }
  /** Between the end of an agent and its next start, ms. */
  readonly restartMs: number
}

interface Service {
  child: ChildProcess
  isWanted: boolean
  timer: NodeJS.Timeout | undefined
}

export class HostServices {
  readonly #options: ServiceOptions
  readonly #services = new Map<string, Service>()

  constructor(options: ServiceOptions) {
    this.#options = options
  }

  get network(): HostNetwork {
    return this.#options.network
  }

  /** Starts the agent of a host; from then on it is started again whenever it ends. */
  start(host: string): void {
    const child = this.#spawn(host)
    const service: Service = { child, isWanted: true, timer: undefined }
    clearTimeout(this.#services.get(host)?.timer)
    this.#services.set(host, service)
    child.once('exit', () => {
      if (!service.isWanted) return
      service.timer = setTimeout(() => this.start(host), this.#options.restartMs)
    })
  }

  /** Stops the service: SIGTERM to the agent alone (KillMode=process). Resolves when it has ended. */
  async stop(host: string): Promise<void> {
    const service = this.#services.get(host)
    if (service === undefined) return
    this.#forget(service)
    if (service.child.exitCode !== null || service.child.signalCode !== null) return
    const gone = once(service.child, 'exit')
    service.child.kill('SIGTERM')
    await gone
  }

  /** The host has no power any more: SIGKILL to everything on it. Returns the pids. Nothing starts before `start`. */
  async powerOff(host: string): Promise<number[]> {
    const service = this.#services.get(host)
    if (service !== undefined) this.#forget(service)
    const all: number[] = []
    // What was just being started by what is killed is there in the next look.
    for (
      let pids = await this.network.pidsOf(host);
      pids.length > 0;
      pids = await this.network.pidsOf(host)
    ) {
      for (const pid of pids) if (kill(pid)) all.push(pid)
    }
    return [...new Set(all)]
  }

  /** Starts no agent any more. */
  close(): void {
    for (const service of this.#services.values()) this.#forget(service)
  }

  #forget(service: Service): void {
    service.isWanted = false
    clearTimeout(service.timer)
  }

  #spawn(host: string): ChildProcess {
    const { command, dir } = this.#options.unitOf(host)
    const [file, args] = this.network.command(host, command)
    const out = openSync(join(dir, 'agent.out'), 'a', 0o600)
    try {
      return spawn(file, args, { cwd: dir, detached: true, stdio: ['ignore', out, out] })
    } finally {
      closeSync(out)
    }
  }
}

function kill(pid: number): boolean {
  try {
    process.kill(pid, 'SIGKILL')
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}
