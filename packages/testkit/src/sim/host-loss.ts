/**
 * A part of some runs: a whole cluster loses one host and nobody comes. It has a copy of everything left, so each content has to answer again by itself within a time,
 * also where the mirror went and commits waited for it. Made for one loss by the simulation, which has the host come back.
 */
import { dispatcherOf, errorOf, item } from './client-tools.ts'
import type { SimCluster } from './sim-cluster.ts'
import type { SimHost } from './sim-host.ts'
import type { SimRandom } from './sim-random.ts'

/** A statement that was refused is sent again after so long. */
const AGAIN_MS = 250

type Way = 'power' | 'stands still' | 'cut off'

export class HostLoss {
  readonly #cluster: SimCluster
  readonly #silent: Set<number>
  readonly #host: SimHost
  readonly #way: Way

  /** Loses a host that is not the coordinator's. */
  constructor(cluster: SimCluster, random: SimRandom) {
    this.#cluster = cluster
    const own = cluster.coordinator()?.process.host
    this.#host = random.pick([...cluster.hosts.values()].filter((host) => host !== own))
    this.#way = random.pick(['power', 'power', 'stands still', 'cut off'] as const)
    this.#silent = new Set([-1, ...Array.from({ length: cluster.layout.contents }, (_, content) => content)])
    cluster.world.trace.add('world', `${this.#host.name} is lost for now (${this.#way})`)
    this.#lose()
    for (const content of this.#silent) this.#ask(content)
  }

  /** Contents that have not answered since. */
  get silent(): readonly number[] {
    return [...this.#silent]
  }

  /** The host is there again. */
  end(): void {
    this.#silent.clear()
    this.#host.powerOn()
    for (const process of [...this.#host.processes]) process.resume()
    this.#eachLink('mend')
  }

  #lose(): void {
    if (this.#way === 'power') this.#host.losePower()
    else if (this.#way === 'cut off') this.#eachLink('cut')
    else for (const process of [...this.#host.processes]) process.pause()
  }

  #eachLink(what: 'cut' | 'mend'): void {
    const { hosts, fabric } = this.#cluster
    for (const other of hosts.values()) {
      if (other === this.#host) continue
      fabric[what](this.#host, other)
      fabric[what](other, this.#host)
    }
  }

  /** A client that writes something until it is answered. */
  #ask(content: number): void {
    const coordinator = this.#cluster.coordinator()
    if (!this.#silent.has(content)) return
    const again = (): void => void this.#cluster.world.schedule(AGAIN_MS, undefined, () => this.#ask(content))
    if (coordinator === undefined) return again()
    coordinator.process.schedule(0, () => {
      dispatcherOf(coordinator)
        .runOne(content, item(`put c${content}.alive ${this.#host.name}`, true))
        .promise.then(({ output }) => {
          if (errorOf(output) === undefined) this.#silent.delete(content)
          else again()
        }, again)
    })
  }
}
