/** What each kind of fault does when it begins, and how it ends. */
import type { FaultContext } from './fault-context.ts'
import type { PlannedFault } from './fault-plan.ts'
import type { Struck } from './fault-triggers.ts'
import type { RunningInstance } from './sim-cluster.ts'
import type { SimHost } from './sim-host.ts'
import type { SimProcess } from './sim-process.ts'
import type { SimRandom } from './sim-random.ts'

/** How often a fault hits what the seed's faults are about. */
const FOCUSED = 0.8

/** Begins a fault; what it draws comes from `random`. */
export function beginFault(fault: PlannedFault, random: SimRandom, context: FaultContext): void {
  new Beginning(fault, random, context).begin()
}

class Beginning {
  readonly #fault: PlannedFault
  readonly #random: SimRandom
  readonly #context: FaultContext

  constructor(fault: PlannedFault, random: SimRandom, context: FaultContext) {
    this.#fault = fault
    this.#random = random
    this.#context = context
  }

  begin(): void {
    const { cluster, operator } = this.#context
    const random = this.#random
    switch (this.#fault.kind) {
      case 'killPrimary':
        return this.#one(acts('primary'))?.process.kill()
      case 'killMirror':
        return this.#one(acts('mirror'))?.process.kill()
      case 'killAny':
        return this.#one(() => true)?.process.kill()
      case 'killCoordinator':
        return cluster.coordinator()?.process.kill()
      case 'killAll':
        for (const { process } of [...cluster.running.values()]) if (random.chance(0.8)) process.kill()
        return
      case 'killAgent':
        return cluster.agentOf(random.pick(this.#hosts()).name)?.kill()
      case 'pauseInstance':
        return this.#pause(this.#one(() => true)?.process)
      case 'pauseCoordinator':
        return this.#pause(cluster.coordinator()?.process)
      case 'pauseHost':
        return random.pick(this.#hosts()).processes.forEach((process) => this.#pause(process))
      case 'unrecorded':
        return this.#unrecorded()
      case 'replaceCoordinator':
        return this.#replaceCoordinator()
      case 'failWhileCatchingUp':
        return this.#failWhileCatchingUp()
      case 'atMessage':
        return this.#atMessage()
      case 'atDiskOperation':
        return this.#atDiskOperation()
      case 'command':
        return operator.command(random)
      case 'power':
        return this.#power(random.pick(this.#hosts()))
      case 'cut':
        return this.#cut(this.#two(), true)
      case 'cutOneWay':
        return this.#cut(this.#two(), false)
      case 'flap':
        return this.#flap()
      case 'isolate':
        return this.#isolate(random.pick(this.#hosts()))
      case 'split':
        return this.#split()
      case 'reset':
        return cluster.fabric.reset(...this.#two())
      case 'slowLink':
        return this.#slowLink()
      case 'wallClock':
      case 'clockDrift':
        return this.#clock(random.pick(this.#hosts()))
      case 'corruptWal':
        return this.#context.corruptWal(1 + random.below(2))
      case 'lateCertificates':
        cluster.certificateDelayMs = random.pick([100, 1_000, 20_000])
        return this.#say(`death certificates come ${cluster.certificateDelayMs} ms late`)
      default:
        return this.#disk()
    }
  }

  #clock(host: SimHost): void {
    const random = this.#random
    if (this.#fault.kind === 'wallClock') {
      host.wallSkewMs = random.between(-3_600_000, 3_600_000)
      return this.#say(`the clock of ${host.name} jumps by ${(host.wallSkewMs / 1000).toFixed(0)} s`)
    }
    const rate = random.pick([0.7, 0.95, 1.05, 1.4])
    host.setClockRate(rate)
    this.#say(`the clock of ${host.name} runs ${rate} times as fast`)
    this.#later(() => host.setClockRate(1))
  }

  #disk(): void {
    const random = this.#random
    const host = random.pick(this.#hosts())
    const { kind, forMs } = this.#fault
    const { disk } = host
    if (kind === 'slowDisk') {
      disk.slowness = random.pick([5, 30, 200, 1000])
      this.#say(`the disk of ${host.name} is ${disk.slowness} times slower`)
      this.#later(() => (disk.slowness = 1))
    } else if (kind === 'hangDisk') {
      this.#say(`the disk of ${host.name} hangs for ${forMs.toFixed(0)} ms`)
      disk.hangsUntilMs = this.#context.cluster.world.nowMs + forMs
    } else if (kind === 'failSync') {
      disk.failSync = true
      this.#say(`the disk of ${host.name} fails to sync`)
      this.#later(() => (disk.failSync = false))
    } else if (kind === 'fullDisk') {
      disk.full = true
      this.#say(`the disk of ${host.name} is full`)
      this.#later(() => (disk.full = false))
    } else if (kind === 'lyingDisk') this.#lie()
  }

  /**
   * The disk under one mirror says that WAL is durable when it is not; then the power goes. What the mirror has lost its primary has. A mirror that has become
   * primary meanwhile is spared: then what it lost would be lost.
   */
  #lie(): void {
    const mirror = this.#one(acts('mirror'))
    if (mirror === undefined) return
    const { host } = mirror.process
    const { disk } = host
    disk.liesBelow = `${mirror.assignment.datadir}/wal`
    this.#say(`the disk of ${host.name} lies about the WAL of dbid ${mirror.assignment.dbid}`)
    this.#later(() => {
      if (host.disk !== disk) return
      disk.liesBelow = undefined
      if (mirror.process.alive && mirror.instance.roleState === 'mirror') return this.#power(host)
      host.files.makeTrue()
    })
  }

  /** Something happens to a process, its host or its link in the moment of a message. */
  #atMessage(): void {
    const { triggers, focus } = this.#context
    const random = this.#random
    const about = this.#isFocused() ? focus : undefined
    const type = triggers.atMessage(random, about, (struck) => {
      const waitMs = random.chance(0.5) ? 0 : random.between(0, 20)
      this.#say(`at a ${type} from ${struck.from.name} to ${struck.to?.name ?? 'nobody'}`)
      this.#after(waitMs, () => this.#strike(struck))
    })
  }

  #strike({ from, to }: Struck): void {
    const random = this.#random
    const one = random.chance(0.5) ? from : (to ?? from)
    const drawn = random.next()
    if (drawn < 0.45) one.kill()
    else if (drawn < 0.6) {
      from.kill()
      this.#after(random.between(0, 3), () => to?.kill())
    } else if (drawn < 0.75) this.#pause(one)
    else if (drawn < 0.85) this.#power(one.host)
    else if (to !== undefined && to.host !== from.host)
      this.#cut(one === from ? [from.host, to.host] : [to.host, from.host], random.chance(0.5))
  }

  #atDiskOperation(): void {
    const random = this.#random
    const host = random.pick(this.#hosts())
    const drawn = random.next()
    const when = this.#context.triggers.atDiskOperation(random, host, (process) => {
      this.#say(`${process.name} is hit ${when}`)
      if (drawn < 0.5) process.kill()
      else if (drawn < 0.8) this.#power(host)
      else this.#pause(process)
    })
  }

  /** It hangs or is cut off, somebody activates the standby, and then it comes back. */
  #replaceCoordinator(): void {
    const { cluster, operator } = this.#context
    const random = this.#random
    const old = cluster.coordinator()?.process
    if (old === undefined) return
    const cutOff = random.chance(0.5)
    const others = [...cluster.hosts.values()].filter((host) => host !== old.host && random.chance(0.7))
    if (!cutOff) old.pause()
    else for (const other of others) this.#both(old.host, other, 'cut')
    const activatesMs = random.between(300, 2_000)
    this.#after(activatesMs, () => operator.activate())
    // The old one may notice in the same moment that its standby is gone.
    if (cutOff && random.chance(0.5))
      this.#after(activatesMs + random.between(-20, 80), () => this.#resetStandby(old.host))
    this.#later(() => {
      old.resume()
      for (const other of others) this.#both(old.host, other, 'mend')
      this.#context.hurry()
    })
  }

  /** A mirror goes, comes back, makes nothing durable for a while; meanwhile its primary goes, too. */
  #failWhileCatchingUp(): void {
    const { cluster, operator } = this.#context
    const random = this.#random
    const mirror = this.#one(acts('mirror'))
    if (mirror === undefined) return
    const { dbid, content } = mirror.assignment
    const { host } = mirror.process
    mirror.process.kill()
    const hangMs = random.between(400, 3_000)
    const killMs = random.between(0, 1.2 * hangMs)
    const hang = random.chance(0.5)
    const untilDown = (): void => {
      if (cluster.coordinator()?.service?.topology.row(dbid)?.status !== 'd')
        return this.#after(50, untilDown)
      operator.tend()
      untilBack()
    }
    const untilBack = (): void => {
      if (this.#primaryOf(content)?.instance.primary?.hub.mirrorStatus().dbid !== dbid)
        return this.#after(20, untilBack)
      if (this.#primaryOf(content)?.instance.primary?.hub.mirrorStatus().state === 'none')
        return this.#after(0.5, untilBack)
      if (hang) host.disk.hangsUntilMs = cluster.world.nowMs + hangMs
      else host.disk.slowness = 200
      this.#say(`the disk of ${host.name}, where dbid ${dbid} comes back, ${hang ? 'hangs' : 'is slow'}`)
      this.#after(hangMs, () => (host.disk.slowness = 1))
      this.#after(killMs, () => this.#primaryOf(content)?.process.kill())
    }
    untilDown()
  }

  #primaryOf(content: number): RunningInstance | undefined {
    for (const running of this.#context.cluster.running.values())
      if (running.assignment.content === content && acts('primary')(running)) return running
    return undefined
  }

  #pause(process: SimProcess | undefined): void {
    process?.pause()
    this.#later(() => {
      process?.resume()
      this.#context.hurry()
    })
  }

  /** The coordinator has no room for its catalog while something happens that it has to record. */
  #unrecorded(): void {
    const host = this.#context.cluster.coordinator()?.process.host
    if (host === undefined) return
    host.disk.full = true
    this.#say(`the disk of ${host.name}, where the coordinator is, is full`)
    this.#later(() => (host.disk.full = false))
    this.#after(this.#random.between(0, 20), () =>
      this.#one(({ assignment }) => assignment.content >= 0)?.process.kill(),
    )
  }

  #power(host: SimHost): void {
    host.losePower()
    this.#later(() => host.powerOn())
  }

  #cut([a, b]: readonly [SimHost, SimHost], bothWays: boolean): void {
    const { fabric } = this.#context.cluster
    if (bothWays) this.#both(a, b, 'cut')
    else fabric.cut(a, b)
    this.#later(() => this.#both(a, b, 'mend'))
  }

  /** A link comes and goes. */
  #flap(): void {
    const { cluster } = this.#context
    const random = this.#random
    const [a, b] = this.#two()
    const until = cluster.world.nowMs + this.#fault.forMs
    const turn = (): void => {
      this.#both(a, b, 'mend')
      if (this.#context.over() || cluster.world.nowMs >= until) return
      if (random.chance(0.3)) this.#both(a, b, 'cut')
      else if (random.chance(0.5)) cluster.fabric.cut(a, b)
      else cluster.fabric.cut(b, a)
      this.#after(random.between(10, 700), () => {
        this.#both(a, b, 'mend')
        this.#after(random.between(10, 400), turn)
      })
    }
    turn()
  }

  #isolate(alone: SimHost): void {
    const others = [...this.#context.cluster.hosts.values()].filter((host) => host !== alone)
    for (const other of others) this.#both(alone, other, 'cut')
    this.#later(() => {
      for (const other of others) this.#both(alone, other, 'mend')
    })
  }

  #resetStandby(from: SimHost): void {
    const { cluster } = this.#context
    const standby = cluster.rows.find(({ content, role }) => content === -1 && role === 'm')
    if (standby !== undefined) cluster.fabric.reset(from, cluster.host(standby.hostname))
  }

  /** Two halves that do not hear each other; on the one without the coordinator somebody may activate the standby. */
  #split(): void {
    const { cluster, operator } = this.#context
    const random = this.#random
    const hosts = [...cluster.hosts.values()]
    const one = hosts.filter(() => random.chance(0.5))
    const other = hosts.filter((host) => !one.includes(host))
    const all = (what: 'cut' | 'mend'): void => {
      for (const a of one) for (const b of other) this.#both(a, b, what)
    }
    all('cut')
    if (random.chance(0.5)) this.#after(random.between(300, 2_500), () => operator.activate())
    this.#later(() => all('mend'))
  }

  #slowLink(): void {
    const { fabric } = this.#context.cluster
    const [a, b] = this.#two()
    const extraMs = this.#random.between(1, 300)
    this.#say(`${a.name} → ${b.name} takes up to ${extraMs.toFixed(0)} ms longer`)
    fabric.delayLink(a, b, extraMs)
    this.#later(() => fabric.delayLink(a, b, 0))
  }

  #both(a: SimHost, b: SimHost, what: 'cut' | 'mend'): void {
    const { fabric } = this.#context.cluster
    fabric[what](a, b)
    fabric[what](b, a)
  }

  #say(what: string): void {
    this.#context.cluster.world.trace.add('fault', what)
  }

  /** When the fault is to end. */
  #later(run: () => void): void {
    this.#after(this.#fault.forMs, run)
  }

  /** Not when all faults have been ended meanwhile. */
  #after(ms: number, run: () => void): void {
    const { cluster, over } = this.#context
    cluster.world.schedule(ms, undefined, () => {
      if (!over()) run()
    })
  }

  #isFocused(): boolean {
    return this.#context.focus !== undefined && this.#random.chance(FOCUSED)
  }

  /** An instance that fits, mostly of the content that the faults are about. */
  #one(which: (running: RunningInstance) => boolean): RunningInstance | undefined {
    const fitting = [...this.#context.cluster.running.values()].filter(which)
    const about = fitting.filter(({ assignment }) => assignment.content === this.#context.focus)
    const from = about.length > 0 && this.#isFocused() ? about : fitting
    return from.length === 0 ? undefined : this.#random.pick(from)
  }

  /** Hosts to choose from, mostly those of the content that the faults are about. */
  #hosts(): SimHost[] {
    const { cluster, focus } = this.#context
    const all = [...cluster.hosts.values()]
    if (!this.#isFocused()) return all
    return all.filter(({ name }) =>
      cluster.rows.some((row) => row.content === focus && row.hostname === name),
    )
  }

  /** Two hosts, mostly the coordinator's and one that the faults are about, or both of the pair. */
  #two(): [SimHost, SimHost] {
    const random = this.#random
    const all = [...this.#context.cluster.hosts.values()]
    const a = random.pick(this.#hosts())
    return [a, random.pick(all.filter((host) => host !== a))]
  }
}

function acts(role: string): (running: RunningInstance) => boolean {
  return ({ assignment, instance }) => assignment.content >= 0 && instance.roleState === role
}
