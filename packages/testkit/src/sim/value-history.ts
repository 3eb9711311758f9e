/**
 * What clients did with values, and whether a strictly serializable database can have answered so: money is moved between contents and none is made or lost (each read
 * of all accounts adds up to nothing), and each register has an order of its reads, writes and compare-and-sets that agrees with real time.
 */
import { linearize } from '../chaos/check/linearize.ts'
import type { RegisterAction, RegisterCall } from '../chaos/check/register-calls.ts'
import { SimFailure } from './sim-world.ts'

/** A register whose search takes longer stays undecided: so many calls are open at once only where nobody answers. */
const MOST_STEPS = 100_000

/** A call whose answer is still to come. */
export interface OpenCall {
  /** It took effect and said this. */
  ended(action: RegisterAction): void
  /** It did nothing and never will, or it read something that nobody knows. */
  dropped(): void
}

interface Call extends Omit<RegisterCall, 'action' | 'isKnown' | 'endedAt' | 'endedMs'> {
  action: RegisterAction
  isKnown: boolean
  isDropped: boolean
  endedAt: number
  endedMs: number
}

export class ValueHistory {
  readonly #now: () => number
  readonly #registers = new Map<string, Call[]>()
  /** Calls and answers in their order. */
  #place = 0
  #nextValue = 1

  constructor(now: () => number) {
    this.#now = now
  }

  /** A number that no register has held yet. */
  newValue(): number {
    return this.#nextValue++
  }

  invoke(register: string, action: RegisterAction): OpenCall {
    const call: Call = {
      process: 0,
      action,
      isKnown: false,
      isDropped: false,
      invokedAt: this.#place++,
      endedAt: Number.POSITIVE_INFINITY,
      invokedMs: this.#now(),
      endedMs: Number.POSITIVE_INFINITY,
    }
    const calls = this.#registers.get(register)
    if (calls === undefined) this.#registers.set(register, [call])
    else calls.push(call)
    return {
      ended: (told) => {
        call.action = told
        call.isKnown = true
        call.endedAt = this.#place++
        call.endedMs = this.#now()
      },
      dropped: () => (call.isDropped = true),
    }
  }

  /** All accounts, read at one moment. */
  checkBalances(balances: readonly (readonly [string, number])[], who = 'a read'): void {
    const sum = balances.reduce((total, [, balance]) => total + balance, 0)
    if (sum === 0) return
    const told = balances.map(([account, balance]) => `${account} ${balance}`).join(', ')
    throw new SimFailure('I9', `${who} of all accounts adds up to ${sum}: ${told}`)
  }

  /** All registers, when everything is answered. */
  checkRegisters(): void {
    for (const [register, calls] of this.#registers) {
      const found = linearize(
        calls.filter((call) => !call.isDropped && (call.isKnown || call.action.f !== 'read')),
        MOST_STEPS,
      )
      if (found.is === 'impossible')
        throw new SimFailure(
          'I9',
          `register ${register}: after ${found.prefix.slice(-5).map(tell).join(', ')} its value is ${found.value}, and nothing that was under way explains ${tell(found.stuck)}`,
        )
    }
  }
}

function tell({ action, isKnown, invokedMs, endedMs }: RegisterCall): string {
  const what =
    action.f === 'read'
      ? `a read of ${action.seen}`
      : action.f === 'write'
        ? `a write of ${action.to}`
        : `a ${isKnown && !action.swapped ? 'refused ' : ''}change from ${action.from} to ${action.to}`
  return `${what} (${invokedMs.toFixed(0)} to ${isKnown ? `${endedMs.toFixed(0)} ms` : 'unknown'})`
}
