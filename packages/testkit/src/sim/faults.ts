/**
 * What can go wrong in a simulated cluster, drawn from the seed: each fault begins at its time, most end by themselves. `mendAll` ends whatever is left.
 * The administrator of the cluster (`operator.ts`) is not a fault.
 */
import type { MessageOf } from '@mirabelle/messages'
import { healthyDisk } from './sim-disk.ts'
import type { RunningInstance, SimCluster } from './sim-cluster.ts'
import type { SimConnection } from './sim-connection.ts'
import type { SimHost } from './sim-host.ts'
import type { SimOperator } from './operator.ts'
import type { SimRandom } from './sim-random.ts'

/** The kinds of faults and how often each is drawn. */
const WEIGHTS = {
  killPrimary: 5,
  killMirror: 3,
  killAny: 3,
  killCoordinator: 3,
  killAll: 1,
  killAgent: 1,
  pauseInstance: 5,
  pauseCoordinator: 1,
  replaceCoordinator: 3,
  crashAtCommit: 4,
  power: 2,
  cut: 3,
  cutOneWay: 3,
  isolate: 2,
  slowLink: 2,
  slowDisk: 2,
  hangDisk: 2,
  failSync: 1,
  fullDisk: 1,
  corruptWal: 2,
  lateCertificates: 1,
  wallClock: 1,
} as const

export type FaultKind = keyof typeof WEIGHTS
export const faultKinds = Object.keys(WEIGHTS) as readonly FaultKind[]

export interface PlannedFault {
  readonly kind: FaultKind
  readonly atMs: number
  /** How long it lasts, when it is one that ends by itself. */
  readonly forMs: number
}

/** So many faults within the time. */
export function planFaults(
  random: SimRandom,
  count: number,
  withinMs: number,
  kinds: readonly FaultKind[] = faultKinds,
): PlannedFault[] {
  const bag = kinds.flatMap((kind) => Array<FaultKind>(WEIGHTS[kind]).fill(kind))
  return Array.from({ length: count }, () => ({
    kind: random.pick(bag),
    atMs: random.between(0, withinMs),
    forMs: random.chance(0.5) ? random.between(20, 1_500) : random.between(1_500, 8_000),
  })).sort((a, b) => a.atMs - b.atMs)
}

export class Faults {
  readonly #cluster: SimCluster
  readonly #operator: SimOperator
  readonly #random: SimRandom
  /** Faults that have begun so far. */
  begun = 0
  /** Frames of WAL whose bytes are changed on their way. */
  #corrupt = 0
  /** The next COMMIT PREPARED that leaves finds nobody, and nobody is left who sent it. */
  #crashAtCommit = false

  constructor(cluster: SimCluster, operator: SimOperator, random: SimRandom) {
    this.#cluster = cluster
    this.#operator = operator
    this.#random = random
    const { fabric } = cluster
    const { tap } = fabric
    fabric.tap = (from, message) => {
      tap?.(from, message)
      if (this.#crashAtCommit && message.type === 'query.dispatch') this.#maybeCrash(from, message)
      if (this.#corrupt === 0 || message.type !== 'wal.data' || message.bytes.length === 0) return
      this.#corrupt--
      const at = random.below(message.bytes.length)
      message.bytes[at] = (message.bytes[at] as number) ^ (1 << random.below(8))
      cluster.world.trace.add('fault', `a bit of WAL from ${from.process.name} is turned on its way`)
    }
  }

  /** Plans all of them, from now on. */
  schedule(plan: readonly PlannedFault[]): void {
    for (const fault of plan) this.#cluster.world.schedule(fault.atMs, undefined, () => this.#begin(fault))
  }

  /** Ends everything that has not ended: links, disks, clocks, paused processes, hosts without power. Dead processes stay dead. */
  mendAll(): void {
    const { hosts, fabric } = this.#cluster
    this.#corrupt = 0
    this.#crashAtCommit = false
    this.#cluster.certificateDelayMs = 0
    for (const host of hosts.values()) {
      host.powerOn()
      host.disk = healthyDisk()
      for (const other of hosts.values()) {
        fabric.mend(host, other)
        fabric.delayLink(host, other, 0)
      }
      for (const process of [...host.processes]) process.resume()
    }
  }

  #maybeCrash(from: SimConnection, { items }: MessageOf<'query.dispatch'>): void {
    if (!items.some((one) => Buffer.from(one[4]).includes('COMMIT PREPARED'))) return
    this.#crashAtCommit = false
    const target = this.#cluster.running.get(from.peer.dbid)?.process
    const { world } = this.#cluster
    world.trace.add('fault', `both ends of a COMMIT PREPARED on its way to dbid ${from.peer.dbid} crash`)
    world.schedule(0, undefined, () => target?.kill())
    world.schedule(this.#random.between(0, 3), undefined, () => from.process.kill())
  }

  #begin({ kind, forMs }: PlannedFault): void {
    this.begun++
    const cluster = this.#cluster
    const random = this.#random
    const { world, fabric } = cluster
    const hosts = [...cluster.hosts.values()]
    const say = (what: string): void => world.trace.add('fault', what)
    const later = (run: () => void): void => void world.schedule(forMs, undefined, run)
    const instances = [...cluster.running.values()]
    const one = (which: (running: RunningInstance) => boolean): RunningInstance | undefined => {
      const fitting = instances.filter(which)
      return fitting.length === 0 ? undefined : random.pick(fitting)
    }
    const acts =
      (role: string) =>
      (running: RunningInstance): boolean =>
        running.assignment.content >= 0 && running.instance.roleState === role
    switch (kind) {
      case 'killPrimary':
        return one(acts('primary'))?.process.kill()
      case 'killMirror':
        return one(acts('mirror'))?.process.kill()
      case 'killAny':
        return one(() => true)?.process.kill()
      case 'killCoordinator':
        return cluster.coordinator()?.process.kill()
      case 'killAll':
        for (const { process } of instances) if (random.chance(0.8)) process.kill()
        return
      case 'killAgent':
        return cluster.agentOf(random.pick(hosts).name)?.kill()
      case 'pauseInstance': {
        const paused = one(() => true)?.process
        paused?.pause()
        return later(() => paused?.resume())
      }
      case 'pauseCoordinator': {
        const paused = cluster.coordinator()?.process
        paused?.pause()
        return later(() => paused?.resume())
      }
      case 'replaceCoordinator': {
        // It hangs or is cut off, somebody activates the standby, and then it comes back.
        const old = cluster.coordinator()?.process
        if (old === undefined) return
        const cutOff = random.chance(0.5)
        const others = hosts.filter((host) => host !== old.host && random.chance(0.7))
        if (!cutOff) old.pause()
        else
          for (const other of others) {
            fabric.cut(old.host, other)
            fabric.cut(other, old.host)
          }
        world.schedule(random.between(300, 2_000), undefined, () => this.#operator.activate())
        return later(() => {
          old.resume()
          for (const other of others) {
            fabric.mend(old.host, other)
            fabric.mend(other, old.host)
          }
        })
      }
      case 'crashAtCommit':
        this.#crashAtCommit = true
        return
      case 'power': {
        const host = random.pick(hosts)
        host.losePower()
        return later(() => host.powerOn())
      }
      case 'cut':
      case 'cutOneWay': {
        const [a, b] = this.#two(hosts)
        fabric.cut(a, b)
        if (kind === 'cut') fabric.cut(b, a)
        return later(() => {
          fabric.mend(a, b)
          fabric.mend(b, a)
        })
      }
      case 'isolate': {
        const alone = random.pick(hosts)
        const others = hosts.filter((host) => host !== alone)
        for (const other of others) {
          fabric.cut(alone, other)
          fabric.cut(other, alone)
        }
        return later(() => {
          for (const other of others) {
            fabric.mend(alone, other)
            fabric.mend(other, alone)
          }
        })
      }
      case 'slowLink': {
        const [a, b] = this.#two(hosts)
        const extraMs = random.between(1, 300)
        say(`${a.name} → ${b.name} takes up to ${extraMs.toFixed(0)} ms longer`)
        fabric.delayLink(a, b, extraMs)
        return later(() => fabric.delayLink(a, b, 0))
      }
      case 'slowDisk': {
        const host = random.pick(hosts)
        host.disk.slowness = random.pick([5, 30, 200, 1000])
        say(`the disk of ${host.name} is ${host.disk.slowness} times slower`)
        return later(() => {
          host.disk.slowness = 1
        })
      }
      case 'hangDisk': {
        const host = random.pick(hosts)
        say(`the disk of ${host.name} hangs for ${forMs.toFixed(0)} ms`)
        host.disk.hangsUntilMs = world.nowMs + forMs
        return
      }
      case 'failSync': {
        const host = random.pick(hosts)
        say(`the disk of ${host.name} fails to sync`)
        host.disk.failSync = true
        return later(() => {
          host.disk.failSync = false
        })
      }
      case 'fullDisk': {
        const host = random.pick(hosts)
        say(`the disk of ${host.name} is full`)
        host.disk.full = true
        return later(() => {
          host.disk.full = false
        })
      }
      case 'corruptWal':
        this.#corrupt += 1 + random.below(2)
        return
      case 'lateCertificates':
        cluster.certificateDelayMs = random.pick([100, 1_000, 20_000])
        say(`death certificates come ${cluster.certificateDelayMs} ms late`)
        return
      case 'wallClock': {
        const host = random.pick(hosts)
        host.wallSkewMs = random.between(-3_600_000, 3_600_000)
        say(`the clock of ${host.name} jumps by ${(host.wallSkewMs / 1000).toFixed(0)} s`)
      }
    }
  }

  #two(hosts: readonly SimHost[]): [SimHost, SimHost] {
    const a = this.#random.pick(hosts)
    return [a, this.#random.pick(hosts.filter((host) => host !== a))]
  }
}
