/**
 * The clients of a run. Started by it, stopped by it; each does one operation after the other, whatever happens to the cluster, and enters all into the history. A
 * client of which an operation stays unknown goes on as a new process.
 */
import { pause, waitFor } from '../../cluster/wait-for.ts'
import type { Address } from '../../cluster/writers.ts'
import type { SimRandom } from '../../sim/sim-random.ts'
import type { History } from '../history/history.ts'
import { protocolModes, Session, type Outcome, type Step } from './session.ts'
import type { Workload } from './workload.ts'

const RECONNECT_MS = 50
/** After a refusal, so that a cluster that is down is not asked all the time. */
const REFUSED_MS = 30
const FINAL_READ_MS = 60_000

export interface ClientsOptions {
  readonly history: History
  readonly workloads: readonly Workload[]
  /** Whichever lets clients in is used; asked at each connect. */
  readonly addresses: () => readonly Address[]
  /** Between an answer and the next operation of a client, ms. */
  readonly restMs: number
  readonly random: SimRandom
}

export class Clients {
  readonly #options: ClientsOptions
  readonly #running: Promise<void>[] = []
  readonly #count: number
  /** Acknowledged operations by the contents that they touched. */
  readonly #acks = new Map<number, number>()
  #stopping = false
  #failure: Error | undefined

  constructor(options: ClientsOptions) {
    this.#options = options
    this.#count = options.workloads.reduce((sum, { clients }) => sum + clients, 0)
    let number = 0
    for (const workload of options.workloads) {
      for (let i = 0; i < workload.clients; i += 1) {
        const client = this.#client(workload, i, number++, options.random.fork())
        this.#running.push(client.catch((error: Error) => void (this.#failure ??= error)))
      }
    }
  }

  /** Resolves when so many more operations were acknowledged on each of these contents. Rejects after `limitMs`. */
  async progress(contents: readonly number[], atLeast: number, limitMs: number): Promise<void> {
    const before = new Map(this.#acks)
    await waitFor(
      `${atLeast} acknowledged operations on each content`,
      () =>
        contents.every((content) => (this.#acks.get(content) ?? 0) - (before.get(content) ?? 0) >= atLeast),
      limitMs,
    )
  }

  /** Resolves when each has its last answer. Rejects when a client itself was wrong. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#running)
    if (this.#failure !== undefined) throw this.#failure
  }

  async #client(workload: Workload, place: number, number: number, random: SimRandom): Promise<void> {
    const mode = protocolModes[number % protocolModes.length] ?? 'simple'
    let process = number
    let session: Session | undefined
    while (!this.#stopping) {
      session ??= await Session.open(this.#options.addresses(), mode)
      if (session === undefined) {
        await pause(RECONNECT_MS)
        continue
      }
      const { type, isUsable } = await this.#perform(workload, workload.next(random, place), session, process)
      if (type === 'info') process += this.#count
      if (!isUsable) {
        session.close()
        session = undefined
      }
      await pause(type === 'ok' ? this.#options.restMs : REFUSED_MS)
    }
    session?.close()
  }

  async #perform(workload: Workload, step: Step, session: Session, process: number): Promise<Outcome> {
    const { history } = this.#options
    const { f, asked, contents, final } = step
    const common = { process, workload: workload.name, f, contents, ...(final === true ? { final } : {}) }
    history.add({ ...common, type: 'invoke', value: asked })
    const outcome = await session.attempt(step)
    const { type, value, error } = outcome
    history.add({ ...common, type, value, ...(error === '' ? {} : { error }) })
    if (type === 'ok') {
      workload.observe?.(step, value)
      for (const content of contents) this.#acks.set(content, (this.#acks.get(content) ?? 0) + 1)
    }
    return outcome
  }

  /** Reads what there is after the faults, each until it is told. Call it when the clients have stopped and the cluster is well. */
  async finalReads(): Promise<void> {
    // Nobody has used this number: every client's processes are its own number plus a multiple of their count.
    const first = this.#count * 1_000_000
    for (const [i, workload] of this.#options.workloads.entries()) {
      for (const step of workload.finalSteps()) {
        await waitFor(
          `the final ${step.f} of ${workload.name}`,
          async () => {
            const session = await Session.open(this.#options.addresses(), 'extended')
            if (session === undefined) return undefined
            try {
              return (await this.#perform(workload, step, session, first + i)).type === 'ok'
            } finally {
              session.close()
            }
          },
          FINAL_READ_MS,
        )
      }
    }
  }
}
