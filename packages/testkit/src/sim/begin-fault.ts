/** What each kind of fault does when it begins, and how it ends. */
import { failWhileRefreshing, loseBase } from './base-faults.ts'
import {
  leaveStandbyBehind,
  loseLane,
  loseParticipant,
  orderTooLate,
  replaceCoordinator,
  unrecorded,
} from './coordinator-faults.ts'
import { beginDiskFault } from './disk-fault.ts'
import type { FaultContext } from './fault-context.ts'
import type { PlannedFault } from './fault-plan.ts'
import { acts, FaultTools } from './fault-tools.ts'
import type { Struck } from './fault-triggers.ts'
import {
  failWhileCatchingUp,
  failWhileCopying,
  failWhilePromoting,
  failWhileStarting,
  hungRecovery,
  shortRecovery,
} from './mirror-faults.ts'
import { loseAnswers, restartBackend } from './statement-faults.ts'
import type { SimHost } from './sim-host.ts'
import type { SimRandom } from './sim-random.ts'

/** Begins a fault; what it draws comes from `random`. */
export function beginFault(fault: PlannedFault, random: SimRandom, context: FaultContext): void {
  new Beginning(fault, random, context).begin()
}

class Beginning {
  readonly #fault: PlannedFault
  readonly #random: SimRandom
  readonly #context: FaultContext
  readonly #tools: FaultTools

  constructor(fault: PlannedFault, random: SimRandom, context: FaultContext) {
    this.#fault = fault
    this.#random = random
    this.#context = context
    this.#tools = new FaultTools(fault, random, context)
  }

  begin(): void {
    const { cluster, operator } = this.#context
    const random = this.#random
    switch (this.#fault.kind) {
      case 'killPrimary':
        return this.#tools.one(acts('primary'))?.process.kill()
      case 'killMirror':
        return this.#tools.one(acts('mirror'))?.process.kill()
      case 'killAny':
        return this.#tools.one(() => true)?.process.kill()
      case 'killCoordinator':
        return cluster.coordinator()?.process.kill()
      case 'killAll':
        for (const { process } of [...cluster.running.values()]) if (random.chance(0.8)) process.kill()
        return
      case 'killAgent':
        return cluster.agentOf(random.pick(this.#tools.hosts()).name)?.kill()
      case 'pauseInstance':
        return this.#tools.pause(this.#tools.one(() => true)?.process)
      case 'pauseCoordinator':
        return this.#tools.pause(cluster.coordinator()?.process)
      case 'pauseHost':
        return random.pick(this.#tools.hosts()).processes.forEach((process) => this.#tools.pause(process))
      case 'restartBackend':
        return restartBackend(this.#tools)
      case 'loseAnswers':
        return loseAnswers(this.#tools)
      case 'loseParticipant':
        return loseParticipant(this.#tools)
      case 'loseLane':
        return loseLane(this.#tools)
      case 'unrecorded':
        return unrecorded(this.#tools)
      case 'replaceCoordinator':
        return replaceCoordinator(this.#tools)
      case 'orderTooLate':
        return orderTooLate(this.#tools)
      case 'failWhileCatchingUp':
        return failWhileCatchingUp(this.#tools)
      case 'failWhileCopying':
        return failWhileCopying(this.#tools)
      case 'failWhileRefreshing':
        return failWhileRefreshing(this.#tools)
      case 'loseBase':
        return loseBase(this.#tools)
      case 'failWhilePromoting':
        return failWhilePromoting(this.#tools)
      case 'failWhileStarting':
        return failWhileStarting(this.#tools)
      case 'hungRecovery':
        return hungRecovery(this.#tools)
      case 'shortRecovery':
        return shortRecovery(this.#tools)
      case 'atMessage':
        return this.#atMessage()
      case 'atDiskOperation':
        return this.#atDiskOperation()
      case 'command':
        return operator.command(random)
      case 'power':
        return this.#tools.power(random.pick(this.#tools.hosts()))
      case 'cut':
        return this.#tools.cut(this.#tools.two(), true)
      case 'cutOneWay':
        return this.#tools.cut(this.#tools.two(), false)
      case 'flap':
        return this.#flap()
      case 'isolate':
        return this.#isolate(random.pick(this.#tools.hosts()))
      case 'split':
        return this.#split()
      case 'reset':
        return cluster.fabric.reset(...this.#tools.two())
      case 'slowLink':
        return this.#slowLink()
      case 'wallClock':
      case 'clockDrift':
        return this.#clock(random.pick(this.#tools.hosts()))
      case 'corruptWal':
        return this.#context.corruptWal(1 + random.below(2))
      case 'lateCertificates':
        cluster.certificateDelayMs = random.pick([100, 1_000, 20_000])
        return this.#tools.say(`death certificates come ${cluster.certificateDelayMs} ms late`)
      case 'lyingDisk':
        return this.#lie()
      case 'leaveStandbyBehind':
        return leaveStandbyBehind(this.#tools)
      case 'slowDisk':
      case 'hangDisk':
      case 'failSync':
      case 'fullDisk':
        return beginDiskFault(this.#fault, random, random.pick(this.#tools.hosts()), (end) =>
          this.#tools.later(end),
        )
    }
  }

  #clock(host: SimHost): void {
    const random = this.#random
    if (this.#fault.kind === 'wallClock') {
      host.wallSkewMs = random.between(-3_600_000, 3_600_000)
      return this.#tools.say(`the clock of ${host.name} jumps by ${(host.wallSkewMs / 1000).toFixed(0)} s`)
    }
    const rate = random.pick([0.7, 0.95, 1.05, 1.4])
    host.setClockRate(rate)
    this.#tools.say(`the clock of ${host.name} runs ${rate} times as fast`)
    this.#tools.later(() => host.setClockRate(1))
  }

  /**
   * The disk under one mirror says that WAL is durable when it is not; then the power goes. What the mirror has lost its primary has. A mirror that has become
   * primary meanwhile is spared: then what it lost would be lost.
   */
  #lie(): void {
    const mirror = this.#tools.one(acts('mirror'))
    if (mirror === undefined) return
    const { host } = mirror.process
    const { disk } = host
    disk.liesBelow = `${mirror.assignment.datadir}/wal`
    host.hasLied = true
    this.#tools.say(`the disk of ${host.name} lies about the WAL of dbid ${mirror.assignment.dbid}`)
    this.#tools.later(() => {
      if (host.disk !== disk) return
      disk.liesBelow = undefined
      if (mirror.process.alive && mirror.instance.roleState === 'mirror') return this.#tools.power(host)
      host.files.makeTrue()
    })
  }

  /** Something happens to a process, its host or its link in the moment of a message. */
  #atMessage(): void {
    const { triggers, focus } = this.#context
    const random = this.#random
    const about = this.#tools.isFocused() ? focus : undefined
    const type = triggers.atMessage(random, about, (struck) => {
      // A statement takes two or three ms from here to its answer.
      const waitMs = random.pick([0, 0, random.between(0, 3), random.between(0, 20)])
      this.#tools.say(`at a ${type} from ${struck.from.name} to ${struck.to?.name ?? 'nobody'}`)
      this.#tools.after(waitMs, () => this.#strike(struck))
    })
  }

  #strike({ from, to }: Struck): void {
    const random = this.#random
    const one = random.chance(0.5) ? from : (to ?? from)
    const drawn = random.next()
    if (drawn < 0.45) one.kill()
    else if (drawn < 0.6) {
      from.kill()
      this.#tools.after(random.between(0, 3), () => to?.kill())
    } else if (drawn < 0.75) this.#tools.pause(one)
    else if (drawn < 0.85) this.#tools.power(one.host)
    else if (drawn < 0.9) this.#tools.fillDisk(one.host)
    else if (to !== undefined && to.host !== from.host)
      this.#tools.cut(one === from ? [from.host, to.host] : [to.host, from.host], random.chance(0.5))
  }

  #atDiskOperation(): void {
    const random = this.#random
    const host = random.pick(this.#tools.hosts())
    const drawn = random.next()
    const when = this.#context.triggers.atDiskOperation(random, host, (process) => {
      this.#tools.say(`${process.name} is hit ${when}`)
      if (drawn < 0.5) process.kill()
      else if (drawn < 0.8) this.#tools.power(host)
      else this.#tools.pause(process)
    })
  }

  /** A link comes and goes. */
  #flap(): void {
    const { cluster } = this.#context
    const random = this.#random
    const [a, b] = this.#tools.two()
    const until = cluster.world.nowMs + this.#fault.forMs
    const turn = (): void => {
      this.#tools.both(a, b, 'mend')
      if (this.#context.over() || cluster.world.nowMs >= until) return
      if (random.chance(0.3)) this.#tools.both(a, b, 'cut')
      else if (random.chance(0.5)) cluster.fabric.cut(a, b)
      else cluster.fabric.cut(b, a)
      this.#tools.after(random.between(10, 700), () => {
        this.#tools.both(a, b, 'mend')
        this.#tools.after(random.between(10, 400), turn)
      })
    }
    turn()
  }

  #isolate(alone: SimHost): void {
    const others = [...this.#context.cluster.hosts.values()].filter((host) => host !== alone)
    for (const other of others) this.#tools.both(alone, other, 'cut')
    this.#tools.later(() => {
      for (const other of others) this.#tools.both(alone, other, 'mend')
    })
  }

  /** Two halves that do not hear each other; on the one without the coordinator somebody may activate the standby. */
  #split(): void {
    const { cluster, operator } = this.#context
    const random = this.#random
    const hosts = [...cluster.hosts.values()]
    const one = hosts.filter(() => random.chance(0.5))
    const other = hosts.filter((host) => !one.includes(host))
    const all = (what: 'cut' | 'mend'): void => {
      for (const a of one) for (const b of other) this.#tools.both(a, b, what)
    }
    all('cut')
    if (random.chance(0.5)) this.#tools.after(random.between(300, 2_500), () => operator.activate())
    this.#tools.later(() => all('mend'))
  }

  #slowLink(): void {
    const { fabric } = this.#context.cluster
    const [a, b] = this.#tools.two()
    const extraMs = this.#random.between(1, 300)
    this.#tools.say(`${a.name} → ${b.name} takes up to ${extraMs.toFixed(0)} ms longer`)
    fabric.delayLink(a, b, extraMs)
    this.#tools.later(() => fabric.delayLink(a, b, 0))
  }
}
