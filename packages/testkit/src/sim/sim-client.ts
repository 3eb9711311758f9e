/**
 * A client of the simulated cluster: one statement or transaction after the other, each with ids of its own, and a report of every answer to the history.
 * Begun by a simulation, ended by `stop`. It calls the dispatcher of a coordinator that lets clients in; when that process dies nobody answers.
 */
import { SqlError } from '@mirabelle/coordinator/ha'
import { isMirabelleError } from '@mirabelle/messages'
import {
  contentOf,
  dispatcherOf,
  drawCancel,
  errorOf,
  idsIn,
  item,
  madeWay,
  makingWay,
  Way,
} from './client-tools.ts'
import type { SimEvent } from './event-heap.ts'
import type { HistoryChecker, ReadStart } from './history-checker.ts'
import type { SimCluster } from './sim-cluster.ts'
import type { SimCoordinator } from './sim-coordinator.ts'
import type { SimRandom } from './sim-random.ts'
import { ValueWork } from './value-work.ts'
import type { ValueHistory } from './value-history.ts'
import { SimFailure, type SimWorld } from './sim-world.ts'

/** A client gives up on an answer after so long and goes on; the answer still counts when it comes. */
const PATIENCE_MS = 40_000
/** How often it moves money or uses a register instead of a list. */
const VALUES = 0.2
/** Lists of one content. */
const LISTS = 2
/** So many appends may be asked for again. */
const REMEMBERED = 3
const UNIQUE_VIOLATION = '23505'

interface Once {
  readonly list: string
  readonly id: string
}

export interface ClientOptions {
  readonly name: string
  readonly world: SimWorld
  readonly cluster: SimCluster
  readonly history: HistoryChecker
  readonly values: ValueHistory
  readonly random: SimRandom
  readonly contents: readonly number[]
  /** Mean pause between two statements at first, ms. */
  readonly pauseMs: number
  /** The answer of a statement that wrote on the coordinator's own lane is there. */
  readonly onOwnAnswer: (coordinator: SimCoordinator, lsn: number) => void
}

const REFUSALS = ['content.unavailable', 'queue.full', 'cancelled'] as const

type Answered = 'acknowledged' | 'refused' | 'unknown'

export class SimClient {
  readonly #options: ClientOptions
  readonly #values: ValueWork
  #pauseMs: number
  #next: SimEvent | undefined
  #count = 0
  #stopped = false
  /** Appends to lists that take an id once, the newest last. */
  #once: readonly Once[] = []
  /** Each answer has to come within this time, ms. */
  #withinMs = Number.POSITIVE_INFINITY
  /** What it waits for, for the story of a run that does not end. */
  busyWith: string | undefined

  constructor(options: ClientOptions) {
    this.#options = options
    this.#pauseMs = options.pauseMs
    const { values, random, contents } = options
    this.#values = new ValueWork({ history: values, random, contents }, (coordinator, onGone, work) =>
      this.#in(coordinator, onGone, work),
    )
    this.#later()
  }

  /** Begins nothing more. */
  stop(): void {
    this.#stopped = true
  }

  /** Another mean pause between two statements, ms, from now on. */
  pace(pauseMs: number): void {
    if (this.#pauseMs === pauseMs) return
    this.#pauseMs = pauseMs
    if (!this.idle || this.#next === undefined) return
    this.#next.cancelled = true
    this.#later()
  }

  /** What is asked from now on has to be answered within this time, ms. */
  expect(withinMs: number): void {
    this.#withinMs = withinMs
  }

  get idle(): boolean {
    return this.busyWith === undefined
  }

  #later(): void {
    const { world, random } = this.#options
    this.#next = world.schedule(random.between(0, 2 * this.#pauseMs), undefined, () => this.#begin())
  }

  #begin(): void {
    this.#next = undefined
    if (this.#stopped) return
    const { cluster, random } = this.#options
    const newest = cluster.coordinator()
    const all = [...cluster.running.values()].flatMap(({ coordinator }) =>
      coordinator?.open === true ? [coordinator] : [],
    )
    const chosen = all.length > 1 && random.chance(0.3) ? random.pick(all) : newest
    if (chosen === undefined) return this.#later()
    this.#visit(chosen)
  }

  #visit(coordinator: SimCoordinator): void {
    const { world, random } = this.#options
    const kind = random.next()
    let over = false
    const done = (): void => {
      if (over) return
      over = true
      patience.cancelled = true
      this.busyWith = undefined
      this.#later()
    }
    const patience = world.schedule(Math.min(PATIENCE_MS, this.#withinMs), undefined, () => {
      if (this.#withinMs === Number.POSITIVE_INFINITY) return done()
      const what = `${this.busyWith ?? 'it'} is not answered within ${this.#withinMs} ms`
      world.fail(new SimFailure('liveness', `${this.#options.name}: ${what}, and all is well`))
    })
    const work = random.chance(VALUES)
      ? this.#values.begin(coordinator, done)
      : kind < 0.42
        ? kind < 0.32
          ? this.#append(coordinator, done)
          : this.#appendOnce(coordinator, done)
        : kind < 0.57
          ? this.#appendTogether(coordinator, done)
          : kind < 0.75
            ? this.#transaction(coordinator, done)
            : kind < 0.9
              ? this.#read(coordinator, done)
              : this.#readTogether(coordinator, done)
    this.busyWith = work
  }

  #append(coordinator: SimCoordinator, done: () => void): string {
    const { random } = this.#options
    const [list] = this.#lists(1) as [string]
    const cancelsMs = drawCancel(random)
    return this.#write(coordinator, [list], done, async (id) => {
      const content = contentOf(list)
      const run = dispatcherOf(coordinator).runOne(content, item(`append ${list} ${id}`, true))
      if (cancelsMs !== undefined) coordinator.process.schedule(cancelsMs, () => run.cancel())
      const { output, lsn } = await run.promise
      if (content === -1) this.#options.onOwnAnswer(coordinator, lsn)
      return errorOf(output)
    })
  }

  /**
   * An append to a list that takes an id once, as a table with a unique key does; now and then one that was asked for before is asked for again. That it fails because
   * the id is there tells as much as a read.
   */
  #appendOnce(coordinator: SimCoordinator, done: () => void): string {
    const { history, random } = this.#options
    const ended = this.#once.filter(({ id }) => ['acknowledged', 'unknown'].includes(history.outcomeOf(id)))
    if (ended.length > 0 && random.chance(0.5)) return this.#askAgain(random.pick(ended), coordinator, done)
    const [list] = this.#lists(1) as [string]
    return this.#write(coordinator, [list], done, async (id) => {
      this.#once = [...this.#once.slice(-REMEMBERED), { list, id }]
      return errorOf(await this.#runOnce(coordinator, list, id))
    })
  }

  #askAgain({ list, id }: Once, coordinator: SimCoordinator, done: () => void): string {
    const { history } = this.#options
    const before = history.outcomeOf(id)
    this.#in(coordinator, done, async () => {
      const asking = this.#runOnce(coordinator, list, id).then((output) => {
        if (!coordinator.process.alive) return
        const error = errorOf(output)
        if (error === undefined) history.appendedAgain(id, before)
        else if (error === UNIQUE_VIOLATION) history.found(id)
      })
      await this.#ended(asking)
      done()
    })
    return `${id} in ${list} again`
  }

  async #runOnce(coordinator: SimCoordinator, list: string, id: string): Promise<Uint8Array> {
    const content = contentOf(list)
    const run = dispatcherOf(coordinator).runOne(content, item(`once ${list} ${id}`, true))
    const { output, lsn } = await run.promise
    if (content === -1) this.#options.onOwnAnswer(coordinator, lsn)
    return output
  }

  /** One autocommit statement that writes on several contents. */
  #appendTogether(coordinator: SimCoordinator, done: () => void): string {
    const lists = this.#lists(2)
    const cancelsMs = drawCancel(this.#options.random)
    return this.#write(coordinator, lists, done, async (id) => {
      const writing = (way: Way) =>
        dispatcherOf(coordinator).writeMany(
          lists.map(contentOf),
          (content) => item(`append ${lists.find((one) => contentOf(one) === content)} ${id}`, true),
          way,
        )
      const results = await makingWay(coordinator, writing, cancelsMs)
      return results.map(({ output }) => errorOf(output)).find((error) => error !== undefined)
    })
  }

  /** BEGIN … COMMIT or ROLLBACK, with time between the statements. */
  #transaction(coordinator: SimCoordinator, done: () => void): string {
    const { random } = this.#options
    const lists = this.#lists(random.chance(0.6) ? 2 : 1)
    const rollsBack = random.chance(0.2)
    const fails = random.chance(0.1)
    const longestMs = random.pick([0.5, 30])
    const pauses = lists.map(() => random.between(0, longestMs))
    return this.#write(coordinator, lists, done, async (id) => {
      const transaction = dispatcherOf(coordinator).begin()
      const way = new Way(coordinator)
      try {
        for (const [i, list] of lists.entries()) {
          const content = contentOf(list)
          if (way.isAsked) throw madeWay()
          await transaction.touch([content], { onWait: (fail) => way.set(() => fail(madeWay())) })
          way.set(undefined)
          const { output } = await transaction.run(content, item(`append ${list} ${id}`, true)).promise
          const error = errorOf(output)
          if (error !== undefined) throw new SqlError(error, 'a statement failed', { wire: output })
          await new Promise<void>(
            (resolve) => void coordinator.process.schedule(pauses[i] as number, resolve),
          )
          if (fails) await transaction.run(content, item('fail', true)).promise
        }
      } catch (error) {
        await transaction.rollback()
        return `rolled back after ${String(error)}`
      } finally {
        way.leave()
      }
      if (rollsBack || fails) {
        await transaction.rollback()
        return 'rolled back on purpose'
      }
      await transaction.commit()
      return undefined
    })
  }

  /** `run` resolves to undefined when it took effect, to a sentence when it did not. */
  #write(
    coordinator: SimCoordinator,
    lists: readonly string[],
    done: () => void,
    run: (id: string) => Promise<string | undefined>,
  ): string {
    const { history, world, name } = this.#options
    const id = `${name}.${++this.#count}`
    history.invoke(id, lists)
    let gone = false
    const end = (answered: Answered, why: string): void => {
      // A process that has ended tells nobody anything.
      if (gone) return
      gone = !coordinator.process.alive
      if (world.trace.enabled) world.trace.add(name, `${id} in ${lists.join(' ')}: ${answered} ${why}`)
      if (answered === 'acknowledged') history.acknowledge(id)
      else if (answered === 'refused') history.refuse(id)
      else history.lose(id)
      done()
    }
    this.#in(
      coordinator,
      () => end('unknown', '(the coordinator is gone)'),
      () =>
        run(id).then(
          (refused) => (refused === undefined ? end('acknowledged', '') : end('refused', refused)),
          (error: unknown) => end(verdictOn(error), String(error)),
        ),
    )
    return `${id} in ${lists.join(' ')}`
  }

  #read(coordinator: SimCoordinator, done: () => void): string {
    const [list] = this.#lists(1) as [string]
    const { history } = this.#options
    const start = history.beginRead(list)
    this.#in(coordinator, done, async () => {
      const run = dispatcherOf(coordinator).runOne(contentOf(list), item(`list ${list}`, false))
      await this.#ended(run.promise.then(({ output }) => history.endRead(start, idsIn(output))))
      done()
    })
    return `reading ${list}`
  }

  #readTogether(coordinator: SimCoordinator, done: () => void): string {
    const { history } = this.#options
    const lists = this.#lists(2)
    const starts = new Map<string, ReadStart>(lists.map((list) => [list, history.beginRead(list)]))
    this.#in(coordinator, done, async () => {
      const reading = makingWay(coordinator, (way) =>
        dispatcherOf(coordinator).readMany(
          lists.map(contentOf),
          (content) => item(`list ${lists.find((one) => contentOf(one) === content)}`, false),
          way,
        ),
      ).then((results) => {
        const reads = new Map(results.map(({ output }, i) => [lists[i] as string, idsIn(output)]))
        for (const [list, ids] of reads) history.endRead(starts.get(list) as ReadStart, ids)
        history.checkAtomic(reads)
      })
      await this.#ended(reading)
      done()
    })
    return `reading ${lists.join(' and ')}`
  }

  /** A read that failed tells nothing; a check that failed ends the simulation. */
  async #ended(reading: Promise<void>): Promise<void> {
    try {
      await reading
    } catch (error) {
      if ((error as Error).name === 'SimFailure') this.#options.world.fail(error)
    }
  }

  /** Does something in the coordinator's process. */
  #in(coordinator: SimCoordinator, onGone: () => void, work: () => Promise<void>): void {
    const { process } = coordinator
    const { world } = this.#options
    process.onExit(onGone)
    process.schedule(0, () => {
      work().catch((error: unknown) => world.fail(error))
    })
  }

  /** Lists on different contents. */
  #lists(count: number): string[] {
    const { random, contents } = this.#options
    const free = [...contents]
    const lists: string[] = []
    while (lists.length < count && free.length > 0) {
      const content = free.splice(random.below(free.length), 1)[0] as number
      lists.push(`c${content}.${random.below(LISTS)}`)
    }
    return lists
  }
}

/** What an error says about the statement. */
function verdictOn(error: unknown): Answered {
  if (error instanceof SqlError) return error.sqlstate === '08007' ? 'unknown' : 'refused'
  const effect = (error as { tookEffect?: unknown }).tookEffect
  if (effect === 'yes') return 'acknowledged'
  if (effect === 'no') return 'refused'
  // What waited in a lane and was never sent, and what was taken out before it ran.
  const isRefused = REFUSALS.some((code) => isMirabelleError(error, code))
  return isRefused ? 'refused' : 'unknown'
}
