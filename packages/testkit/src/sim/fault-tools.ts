/** What faults are made of: whom they hit, when they end, links, hosts and processes. Made for one fault. */
import type { FaultContext } from './fault-context.ts'
import type { PlannedFault } from './fault-plan.ts'
import type { RunningInstance } from './sim-cluster.ts'
import type { SimHost } from './sim-host.ts'
import type { SimProcess } from './sim-process.ts'
import type { SimRandom } from './sim-random.ts'

/** How often a fault hits what the seed's faults are about. */
const FOCUSED = 0.8

export class FaultTools {
  readonly fault: PlannedFault
  readonly random: SimRandom
  readonly context: FaultContext

  constructor(fault: PlannedFault, random: SimRandom, context: FaultContext) {
    this.fault = fault
    this.random = random
    this.context = context
  }

  /** Into the story. */
  say(what: string): void {
    this.context.cluster.world.trace.add('fault', what)
  }

  /** When the fault is to end. */
  later(run: () => void): void {
    this.after(this.fault.forMs, run)
  }

  /** Not when all faults have been ended meanwhile. */
  after(ms: number, run: () => void): void {
    const { cluster, over } = this.context
    cluster.world.schedule(ms, undefined, () => {
      if (!over()) run()
    })
  }

  /** This time it is about what the faults of the seed are about. */
  isFocused(): boolean {
    return this.context.focus !== undefined && this.random.chance(FOCUSED)
  }

  /** An instance that fits, mostly of the content that the faults are about. */
  one(which: (running: RunningInstance) => boolean): RunningInstance | undefined {
    const fitting = [...this.context.cluster.running.values()].filter(which)
    const about = fitting.filter(({ assignment }) => assignment.content === this.context.focus)
    const from = about.length > 0 && this.isFocused() ? about : fitting
    return from.length === 0 ? undefined : this.random.pick(from)
  }

  /** Hosts to choose from, mostly those of the content that the faults are about. */
  hosts(): SimHost[] {
    const { cluster, focus } = this.context
    const all = [...cluster.hosts.values()]
    if (!this.isFocused()) return all
    const places = [...cluster.places.values()].filter(({ content }) => content === focus)
    return all.filter(({ name }) => places.some(({ hostname }) => hostname === name))
  }

  /** Two hosts, mostly the coordinator's and one that the faults are about, or both of the pair. */
  two(): [SimHost, SimHost] {
    const random = this.random
    const all = [...this.context.cluster.hosts.values()]
    const a = random.pick(this.hosts())
    return [a, random.pick(all.filter((host) => host !== a))]
  }

  /** Cuts or mends a link in both directions. */
  both(a: SimHost, b: SimHost, what: 'cut' | 'mend'): void {
    const { fabric } = this.context.cluster
    fabric[what](a, b)
    fabric[what](b, a)
  }

  /** SIGSTOP, and SIGCONT when the fault ends. */
  pause(process: SimProcess | undefined): void {
    process?.pause()
    this.later(() => {
      process?.resume()
      this.context.hurry()
    })
  }

  /** A host loses its power until the fault ends. */
  power(host: SimHost): void {
    host.losePower()
    this.later(() => host.powerOn())
  }

  /** The disk of a host is full until the fault ends. */
  fillDisk(host: SimHost): void {
    host.disk.full = true
    this.say(`the disk of ${host.name} is full`)
    this.later(() => (host.disk.full = false))
  }

  /** A link is cut until the fault ends. */
  cut([a, b]: readonly [SimHost, SimHost], bothWays: boolean): void {
    const { fabric } = this.context.cluster
    if (bothWays) this.both(a, b, 'cut')
    else fabric.cut(a, b)
    this.later(() => this.both(a, b, 'mend'))
  }
}

/** Segments in this state of their role. */
export function acts(role: string): (running: RunningInstance) => boolean {
  return ({ assignment, instance }) => assignment.content >= 0 && instance.roleState === role
}
