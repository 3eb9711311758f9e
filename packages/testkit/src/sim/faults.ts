/**
 * What can go wrong in a simulated cluster, as planned (`fault-plan.ts`): each fault begins at its time, most end by themselves. `mendAll` ends whatever is
 * left. What the administrator of the cluster does is in `operator.ts`.
 */
import type { MessageOf } from '@mirabelle/messages'
import type { FaultPlan, PlannedFault } from './fault-plan.ts'
import { FaultTriggers } from './fault-triggers.ts'
import { beginFault } from './begin-fault.ts'
import { healthyDisk } from './sim-disk.ts'
import type { SimCluster } from './sim-cluster.ts'
import type { SimOperator } from './operator.ts'
import type { SimProcess } from './sim-process.ts'
import { SimRandom } from './sim-random.ts'

export class Faults {
  readonly #cluster: SimCluster
  readonly #operator: SimOperator
  readonly #hurry: () => void
  readonly #triggers: FaultTriggers
  /** Faults that have begun so far. */
  begun = 0
  /** Frames of WAL whose bytes are changed on their way, and what changes them. */
  #corrupt = 0
  #corruptWith = new SimRandom(0)
  #over = false

  /** `hurry`: clients ask much for a moment. */
  constructor(cluster: SimCluster, operator: SimOperator, hurry: () => void) {
    this.#cluster = cluster
    this.#operator = operator
    this.#hurry = hurry
    const { fabric } = cluster
    const { tap } = fabric
    fabric.tap = (from, message) => {
      tap?.(from, message)
      if (this.#corrupt > 0 && message.type === 'wal.data') this.#damage(from.process, message)
    }
    this.#triggers = new FaultTriggers(cluster)
  }

  /** Plans all of them, from now on. */
  schedule({ focus, faults }: FaultPlan): void {
    for (const fault of faults)
      this.#cluster.world.schedule(fault.atMs, undefined, () => {
        if (!this.#over) this.#begin(fault, focus)
      })
  }

  /** Ends everything that has not ended: links, disks, clocks, paused processes, hosts without power. Dead processes stay dead. */
  mendAll(): void {
    const { hosts, fabric } = this.#cluster
    this.#over = true
    this.#corrupt = 0
    this.#triggers.clear()
    this.#cluster.certificateDelayMs = 0
    for (const host of hosts.values()) {
      host.powerOn()
      host.files.makeTrue()
      host.bringBack()
      host.disk = healthyDisk()
      host.setClockRate(1)
      for (const other of hosts.values()) {
        fabric.mend(host, other)
        fabric.delayLink(host, other, 0)
      }
      for (const process of [...host.processes]) process.resume()
    }
  }

  #begin(fault: PlannedFault, focus: number | undefined): void {
    this.begun++
    const random = new SimRandom(fault.seed)
    beginFault(fault, random, {
      cluster: this.#cluster,
      operator: this.#operator,
      triggers: this.#triggers,
      focus,
      over: () => this.#over,
      hurry: this.#hurry,
      corruptWal: (frames) => {
        this.#corrupt += frames
        this.#corruptWith = random
      },
    })
  }

  #damage({ name }: SimProcess, { bytes }: MessageOf<'wal.data'>): void {
    if (bytes.length === 0) return
    this.#corrupt--
    const random = this.#corruptWith
    const at = random.below(bytes.length)
    bytes[at] = (bytes[at] as number) ^ (1 << random.below(8))
    this.#cluster.world.trace.add('fault', `a bit of WAL from ${name} is turned on its way`)
  }
}
