/** A simulated machine: a disk, addresses, processes. Lives as long as its world; can lose its power and come back. */
import { healthyDisk, SimDisk, type DiskFaults, type DiskOperation } from './sim-disk.ts'
import { SimClock } from './sim-clock.ts'
import { parentOf, SimFiles } from './sim-files.ts'
import { SimNetwork, type SimFabric } from './sim-network.ts'
import { SimProcess } from './sim-process.ts'
import type { SimRandom } from './sim-random.ts'
import type { SimWorld } from './sim-world.ts'
import type { Ports } from '@mirabelle/runtime'

/** Where files are that are away. */
const AWAY = '/away'

export class SimHost {
  readonly world: SimWorld
  readonly fabric: SimFabric
  readonly name: string
  readonly files = new SimFiles()
  /** The wall clock is wrong by so much. */
  wallSkewMs = 0
  disk: DiskFaults = healthyDisk()
  /** Sees what processes do on the disk, before and after; undefined while nobody looks. */
  onDiskOperation: ((process: SimProcess, operation: DiskOperation, after: boolean) => void) | undefined
  /** Sees what processes have removed. */
  onRemoved: ((process: SimProcess, path: string) => void) | undefined
  /** Its clock runs so many times as fast as time. */
  #clockRate = 1
  #rateSince = { worldMs: 0, ownMs: 0 }
  /** Its disk has told that something is durable which was not. */
  hasLied = false
  /** It has power. */
  up = true
  readonly processes = new Set<SimProcess>()
  readonly #away: { readonly path: string; readonly at: string }[] = []
  readonly #random: SimRandom
  /** Folders of instances and who holds them (I7). */
  readonly locks = new Map<string, SimProcess>()

  constructor(fabric: SimFabric, name: string) {
    this.world = fabric.world
    this.fabric = fabric
    this.name = name
    this.#random = fabric.world.random.fork()
    fabric.addHost(this)
  }

  /** Time by the clock of the host, ms since the world was made. */
  get ownMs(): number {
    const { worldMs, ownMs } = this.#rateSince
    return ownMs + (this.world.nowMs - worldMs) * this.#clockRate
  }

  get clockRate(): number {
    return this.#clockRate
  }

  /** From now on its clock is so many times as fast as time. */
  setClockRate(rate: number): void {
    this.#rateSince = { worldMs: this.world.nowMs, ownMs: this.ownMs }
    this.#clockRate = rate
  }

  /** A new process. */
  spawn(name: string): SimProcess {
    const process = new SimProcess(this, name, this.fabric.nextPid())
    this.processes.add(process)
    process.onExit(() => this.processes.delete(process))
    return process
  }

  /** The ports of one of its processes. */
  portsOf(process: SimProcess): Ports {
    return {
      clock: new SimClock(process),
      network: new SimNetwork(this.fabric, process),
      disk: new SimDisk(process),
      random: this.#random.fork(),
      log: this.world.trace.logger(process.name),
    }
  }

  /** A file or folder is not there any more, until it is brought back. */
  takeAway(path: string): void {
    const at = `${AWAY}/${this.#away.length}`
    this.files.makeFolder(AWAY)
    this.files.rename(path, at)
    this.#away.push({ path, at })
    this.world.trace.add(this.name, `${path} is away`)
  }

  /** What was taken away is there again, unless something else has taken its place. */
  bringBack(): void {
    for (const { path, at } of this.#away.splice(0)) {
      const { files } = this
      const isTaken =
        files.isFolder(path) || files.file(path) !== undefined || !files.isFolder(parentOf(path))
      if (isTaken) files.remove(at)
      else files.rename(at, path)
      this.world.trace.add(this.name, `${path} is ${isTaken ? 'another one now' : 'there again'}`)
    }
  }

  /** The power goes: every process ends, nobody is told, what was not durable is lost. */
  losePower(): void {
    if (!this.up) return
    this.up = false
    this.world.trace.add(this.name, 'loses its power')
    for (const process of [...this.processes]) process.exit({ code: null, signal: 'POWER' }, true)
    this.files.losePower(this.#random)
    this.disk = healthyDisk()
    this.fabric.refresh()
  }

  /** The power is back; nothing runs yet. */
  powerOn(): void {
    if (this.up) return
    this.up = true
    this.world.trace.add(this.name, 'has power again')
    this.fabric.hostBack(this)
  }
}
