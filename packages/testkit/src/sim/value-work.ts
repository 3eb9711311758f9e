/**
 * What a simulated client does with values: moves money between two contents, reads all accounts at one moment, reads, writes and changes registers. Owned by its
 * client; what it sees goes into the history of values.
 */
import type { RegisterAction } from '../chaos/check/register-calls.ts'
import {
  contentOf,
  dispatcherOf,
  drawCancel,
  errorOf,
  item,
  madeWay,
  makingWay,
  Way,
} from './client-tools.ts'
import { readAnswer } from './pg-bytes.ts'
import type { SimCoordinator } from './sim-coordinator.ts'
import type { SimRandom } from './sim-random.ts'
import type { ValueHistory } from './value-history.ts'

const MOST_MONEY = 9

/** Does something in the process of a coordinator. */
export type DoIn = (coordinator: SimCoordinator, onGone: () => void, work: () => Promise<void>) => void

export interface ValueWorkOptions {
  readonly history: ValueHistory
  readonly random: SimRandom
  readonly contents: readonly number[]
}

export class ValueWork {
  readonly #options: ValueWorkOptions
  readonly #in: DoIn
  /** What was read or written last, by register. */
  readonly #last = new Map<string, number>()

  constructor(options: ValueWorkOptions, doIn: DoIn) {
    this.#options = options
    this.#in = doIn
  }

  /** Begins one thing; returns it in words. */
  begin(coordinator: SimCoordinator, done: () => void): string {
    const kind = this.#options.random.next()
    if (kind < 0.35) return this.#transfer(coordinator, done)
    return kind < 0.5 ? this.#readAccounts(coordinator, done) : this.#useRegister(coordinator, done)
  }

  #transfer(coordinator: SimCoordinator, done: () => void): string {
    const { random, contents } = this.#options
    const from = random.pick(contents)
    const to = random.pick(contents.filter((content) => content !== from))
    const money = 1 + random.below(MOST_MONEY)
    const move = (content: number) =>
      item(`add ${account(content)} ${content === from ? -money : money}`, true)
    const isOneStatement = random.chance(0.6)
    const cancelsMs = drawCancel(random)
    this.#in(coordinator, done, async () => {
      const moving = isOneStatement
        ? makingWay(
            coordinator,
            (way) => dispatcherOf(coordinator).writeMany([from, to], move, way),
            cancelsMs,
          )
        : inTransaction(coordinator, [from, to], move)
      // Whether it took effect the next read of all accounts need not know: it moved or it did not.
      await moving.catch(() => undefined)
      done()
    })
    return `moving ${money} from content ${from} to ${to}`
  }

  #readAccounts(coordinator: SimCoordinator, done: () => void): string {
    const { history, contents } = this.#options
    this.#in(coordinator, done, async () => {
      const balances = await readBalances(coordinator, contents).catch(() => undefined) // nothing was read
      if (balances !== undefined) history.checkBalances(balances)
      done()
    })
    return 'reading all accounts'
  }

  #useRegister(coordinator: SimCoordinator, done: () => void): string {
    const { history, random, contents } = this.#options
    const register = `c${random.pick(contents)}.register`
    const action = this.#action(register)
    const call = history.invoke(register, action)
    const sql =
      action.f === 'read'
        ? `get ${register}`
        : action.f === 'write'
          ? `put ${register} ${action.to}`
          : `cas ${register} ${action.from} ${action.to}`
    this.#in(coordinator, done, async () => {
      const { process } = coordinator
      try {
        const sent = item(sql, action.f !== 'read')
        const { output } = await dispatcherOf(coordinator).runOne(contentOf(register), sent).promise
        const told = toldBy(action, output)
        if (told === undefined) call.dropped()
        else if (process.alive) {
          call.ended(told)
          const value = told.f === 'read' ? told.seen : told.to
          if (value !== null) this.#last.set(register, value)
        }
      } catch {
        // It may have taken effect, or may still.
      }
      done()
    })
    return sql
  }

  #action(register: string): RegisterAction {
    const { history, random } = this.#options
    const kind = random.next()
    if (kind < 0.45) return { f: 'read', seen: null }
    const from = this.#last.get(register)
    const to = history.newValue()
    return kind < 0.7 || from === undefined ? { f: 'write', to } : { f: 'cas', from, to, swapped: true }
  }
}

/** The balance of each content's account, all at one moment. */
export async function readBalances(
  coordinator: SimCoordinator,
  contents: readonly number[],
): Promise<(readonly [string, number])[]> {
  const results = await makingWay(coordinator, (way) =>
    dispatcherOf(coordinator).readMany(contents, (content) => item(`get ${account(content)}`, false), way),
  )
  return results.map(({ output }, i) => [
    account(contents[i] as number),
    Number(readAnswer(output).rows[0] ?? 0),
  ])
}

const account = (content: number): string => `c${content}.account`

async function inTransaction(
  coordinator: SimCoordinator,
  contents: readonly number[],
  move: (content: number) => ReturnType<typeof item>,
): Promise<void> {
  const transaction = dispatcherOf(coordinator).begin()
  const way = new Way(coordinator)
  try {
    await transaction.touch(contents, { onWait: (fail) => way.set(() => fail(madeWay())) })
    way.set(undefined)
    for (const content of contents) {
      const { output } = await transaction.run(content, move(content)).promise
      if (errorOf(output) !== undefined) throw new Error('a statement failed')
    }
  } catch (error) {
    await transaction.rollback()
    throw error
  } finally {
    way.leave()
  }
  await transaction.commit()
}

/** What an answer says of an action; undefined when it was an error. */
function toldBy(action: RegisterAction, output: Uint8Array): RegisterAction | undefined {
  const { rows, error } = readAnswer(output)
  if (error !== undefined) return undefined
  const [row] = rows
  if (action.f === 'read') return { f: 'read', seen: row === undefined ? null : Number(row) }
  return action.f === 'cas' ? { ...action, swapped: row === '1' } : action
}
