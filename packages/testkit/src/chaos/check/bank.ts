/**
 * Does money stay what it is? Every read shows all accounts with the same total, none below zero; and the balances at the end are those at the beginning
 * moved by all acknowledged transfers and some of the unknown ones, so that a transfer that is lost or doubled as a whole shows, too. Pure.
 */
import { callsOf, type Call, type Op } from '../history/op.ts'
import { countOutcomes, fewOfEachKind, seconds, type Anomaly, type Verdict } from './anomaly.ts'

export interface BankRules {
  /** Balances at the beginning, by account. */
  readonly initial: Readonly<Record<string, number>>
  readonly allowNegative: boolean
}

interface Transfer {
  readonly from: number
  readonly to: number
  readonly amount: number
}

type Balances = Readonly<Record<string, number>>

/** Distinct sums of unknown transfers that are looked at before this is given up. */
const MOST_SUMS = 200_000

export function checkBank(ops: readonly Op[], rules: BankRules): Verdict {
  const calls = callsOf(ops, 'bank')
  const undecided: string[] = []
  const reads = calls.filter(({ f, outcome }) => f === 'read' && outcome === 'ok')
  const anomalies = reads.flatMap((read) => readAnomalies(read, rules))
  const last = reads.filter(({ final }) => final).at(-1)
  if (last === undefined) undecided.push('bank: there is no final read')
  else {
    const found = transferAnomaly(calls, last, rules)
    if (typeof found === 'string') undecided.push(found)
    else if (found !== undefined) anomalies.push(found)
  }
  return { workload: 'bank', anomalies: fewOfEachKind(anomalies), undecided, counts: countOutcomes(calls) }
}

function readAnomalies(read: Call, { initial, allowNegative }: BankRules): Anomaly[] {
  const balances = read.told as Balances
  const who = `the read of process ${read.process} at ${seconds(read.endedMs)}`
  const story = [`${who}: ${JSON.stringify(balances)}`]
  const make = (kind: string, summary: string): Anomaly => {
    return { workload: 'bank', kind, summary, story, timesMs: [read.invokedMs, read.endedMs] }
  }
  if (Object.keys(balances).sort().join() !== Object.keys(initial).sort().join())
    return [make('wrong-accounts', `${who} shows other accounts than there are`)]
  const found: Anomaly[] = []
  const [total, wanted] = [sum(balances), sum(initial)]
  if (total !== wanted)
    found.push(make('wrong-total', `${who} shows a total of ${total} instead of ${wanted}`))
  const below = Object.entries(balances).find(([, balance]) => balance < 0)
  if (!allowNegative && below !== undefined)
    found.push(make('negative-balance', `${who} shows ${below[1]} on account ${below[0]}`))
  return found
}

/** undefined when all is well; a sentence when it could not be decided. */
function transferAnomaly(calls: readonly Call[], last: Call, rules: BankRules): Anomaly | string | undefined {
  // What began after the last read, or has not ended by then, may not be in it.
  const transfers = calls.filter(({ f, invokedAt }) => f === 'transfer' && invokedAt < last.endedAt)
  const certain = transfers.filter(({ outcome, endedAt }) => outcome === 'ok' && endedAt < last.invokedAt)
  const possible = transfers.filter((call) => call.outcome !== 'fail' && !certain.includes(call))
  const accounts = Object.keys(rules.initial).map(Number)
  const balances = last.told as Balances
  const left = new Map(
    accounts.map((account) => [account, (balances[account] ?? 0) - (rules.initial[account] ?? 0)]),
  )
  for (const call of certain) apply(left, call.asked as unknown as Transfer, -1)
  const wanted = keyOf(accounts, left)
  let sums = new Map([[keyOf(accounts, new Map()), new Map<number, number>()]])
  for (const { asked } of possible) {
    const more = new Map(sums)
    for (const moved of sums.values()) {
      const next = new Map(moved)
      apply(next, asked as unknown as Transfer, 1)
      more.set(keyOf(accounts, next), next)
    }
    sums = more
    if (sums.has(wanted)) return undefined
    if (sums.size > MOST_SUMS)
      return `bank: ${possible.length} transfers without an answer are too many to tell which took effect`
  }
  if (sums.has(wanted)) return undefined
  const off = [...left]
    .filter(([, amount]) => amount !== 0)
    .map(([account, amount]) => `${account}: ${amount}`)
  return {
    workload: 'bank',
    kind: 'lost-transfer',
    summary: `the balances at the end are not the sum of ${certain.length} acknowledged transfers and any of ${possible.length} unknown ones`,
    story: [
      `at the end: ${JSON.stringify(balances)}`,
      `what the acknowledged transfers do not explain, by account: ${off.join(', ')}`,
      ...possible.slice(0, 20).map(({ asked, process, invokedMs }) => {
        return `unknown: ${JSON.stringify(asked)} of process ${process} at ${seconds(invokedMs)}`
      }),
    ],
    timesMs: [last.invokedMs],
  }
}

function apply(balances: Map<number, number>, { from, to, amount }: Transfer, sign: 1 | -1): void {
  balances.set(from, (balances.get(from) ?? 0) - sign * amount)
  balances.set(to, (balances.get(to) ?? 0) + sign * amount)
}

function keyOf(accounts: readonly number[], balances: ReadonlyMap<number, number>): string {
  return accounts.map((account) => balances.get(account) ?? 0).join()
}

function sum(balances: Balances): number {
  return Object.values(balances).reduce((total, balance) => total + balance, 0)
}
