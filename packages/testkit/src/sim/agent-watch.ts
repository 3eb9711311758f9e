/**
 * Watches the word of agents: whom they call stopped is gone, a death certificate is true, what was fenced does not come back by a start that was asked for before,
 * and nothing starts by itself but a coordinator that has to prove itself. Made with the promise watch of a simulation; a broken promise ends the run.
 */
import { PROVE_EPOCH_SETTING, type Assignment, type Dbid, type Message } from '@mirabelle/messages'
import type { SimCluster } from './sim-cluster.ts'
import type { SimConnection } from './sim-connection.ts'
import type { SimProcess } from './sim-process.ts'
import { SimFailure } from './sim-world.ts'

/** What an agent was asked about an instance; places in the order of all that was asked. */
interface Asked {
  /** Starts that it has not answered. */
  readonly starts: number[]
  /** The last start that made a process; 0: an earlier agent did. */
  spawnedBy: number
  /** The last fencing that it has answered. */
  fencedAt: number
}

export class AgentWatch {
  readonly #cluster: SimCluster
  readonly #asked = new WeakMap<SimProcess, Map<Dbid, Asked>>()
  #place = 0

  constructor(cluster: SimCluster) {
    this.#cluster = cluster
  }

  /** Looks at every message from now on. */
  watch(): void {
    const { fabric } = this.#cluster
    const { asked, tap } = fabric
    fabric.asked = (at, message) => {
      if (message.type === 'agent.start') return this.#startAsked(at.process, message.assignment)
      if (message.type === 'agent.fence' || message.type === 'agent.stop')
        return this.#endAsked(at.process, message.dbid, message.type)
      return asked?.(at, message)
    }
    fabric.tap = (from, message) => {
      tap?.(from, message)
      if (message.type === 'agent.exited') this.#certified(from, message.pid)
    }
    this.#cluster.onSpawned = (agent, assignment) => this.#spawned(agent, assignment)
  }

  #about(agent: SimProcess, dbid: Dbid): Asked {
    const all = this.#asked.get(agent) ?? new Map<Dbid, Asked>()
    this.#asked.set(agent, all)
    const asked = all.get(dbid) ?? { starts: [], spawnedBy: 0, fencedAt: 0 }
    all.set(dbid, asked)
    return asked
  }

  #startAsked(agent: SimProcess, { dbid }: Assignment): () => void {
    const { starts } = this.#about(agent, dbid)
    const place = ++this.#place
    starts.push(place)
    return () => void starts.splice(starts.indexOf(place), 1)
  }

  #endAsked(agent: SimProcess, dbid: Dbid, type: 'agent.fence' | 'agent.stop') {
    const place = ++this.#place
    return (reply: Message): void => {
      if (reply.type !== 'agent.stopped') return
      const asked = this.#about(agent, dbid)
      if (type === 'agent.fence') asked.fencedAt = Math.max(asked.fencedAt, place)
      const lives = [...agent.host.processes].some(({ name, alive }) => alive && name === `dbid${dbid}`)
      if (lives && asked.spawnedBy < place)
        this.#fail(`${agent.name} calls dbid ${dbid} stopped after ${type}, and its process lives`)
    }
  }

  /** After a reboot an agent starts nothing by itself but a coordinator, which has to prove that it still is one. */
  #spawned(agent: SimProcess, { dbid, content, settings }: Assignment): void {
    const asked = this.#about(agent, dbid)
    const [start] = asked.starts
    if (start !== undefined) {
      asked.spawnedBy = start
      if (start < asked.fencedAt)
        this.#fail(`${agent.name} starts dbid ${dbid}, which was fenced since that was asked for`)
      return
    }
    if (content === -1 && settings[PROVE_EPOCH_SETTING] === 'on') return
    this.#fail(
      content === -1
        ? `${agent.name} starts dbid ${dbid} as coordinator by itself, and it need not prove that no other one rules`
        : `${agent.name} starts dbid ${dbid} of content ${content} by itself`,
    )
  }

  /** `agent.exited` is a death certificate: who reads it promotes. */
  #certified({ process }: SimConnection, pid: number): void {
    if ([...process.host.processes].some((one) => one.pid === pid && one.alive))
      this.#fail(`${process.name} certifies that pid ${pid} has ended, and it lives`)
  }

  #fail(what: string): void {
    this.#cluster.world.fail(new SimFailure('I4', what))
  }
}
