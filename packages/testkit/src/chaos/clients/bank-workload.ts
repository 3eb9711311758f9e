/** Bank: transfers between accounts that live on several contents, and reads of all of them; no balance may fall below zero. Made by the run. */
import type { SimRandom } from '../../sim/sim-random.ts'
import type { Json } from '../history/op.ts'
import { TakenBack, type Session, type Step } from './session.ts'
import { contentsOf, type Workload } from './workload.ts'

const ACCOUNTS = 8
const INITIAL = 100
const MOST = 20

/** What each account begins with. */
export const initialBalances: Readonly<Record<string, number>> = Object.fromEntries(
  Array.from({ length: ACCOUNTS }, (_, account) => [account, INITIAL]),
)

export class BankWorkload implements Workload {
  readonly name = 'bank'
  readonly clients = 3
  readonly tables = [
    'CREATE TABLE chaos_bank (id bigint PRIMARY KEY, balance bigint) DISTRIBUTED BY (id)',
    `INSERT INTO chaos_bank VALUES ${Object.entries(initialBalances)
      .map(([account, balance]) => `(${account}, ${balance})`)
      .join(', ')}`,
  ]
  readonly #contents: number

  constructor(contents: number) {
    this.#contents = contents
  }

  next(random: SimRandom): Step {
    if (random.chance(0.35)) return this.#read(random.below(3))
    const from = random.below(ACCOUNTS)
    const to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS
    return this.#transfer(from, to, 1 + random.below(MOST), random.chance(0.5))
  }

  finalSteps(): Step[] {
    return [{ ...this.#read(0), final: true }]
  }

  #read(way: number): Step {
    const accounts = Object.keys(initialBalances).map(Number)
    return {
      f: 'read',
      asked: null,
      contents: contentsOf(accounts, this.#contents),
      isReadOnly: true,
      run: (session) =>
        way === 0 ? readPushedDown(session) : way === 1 ? readGathered(session) : readOneByOne(session),
    }
  }

  /** `byReading`: the new balances are computed by the client, as applications do; two transactions that overlap would lose one. */
  #transfer(from: number, to: number, amount: number, byReading: boolean): Step {
    return {
      f: 'transfer',
      asked: { from, to, amount },
      contents: contentsOf([from, to], this.#contents),
      isReadOnly: false,
      run: (session) =>
        session.transaction(async () => {
          await (byReading ? moveByReading : moveByUpdate)(session, from, to, amount)
          return { from, to, amount }
        }),
    }
  }
}

async function moveByUpdate(session: Session, from: number, to: number, amount: number): Promise<void> {
  const taken = await session.query(
    'UPDATE chaos_bank SET balance = balance - $2 WHERE id = $1 AND balance >= $2',
    [from, amount],
  )
  if (taken.rowCount !== 1) throw new TakenBack(`account ${from} has less than ${amount}`)
  const given = await session.query('UPDATE chaos_bank SET balance = balance + $2 WHERE id = $1', [
    to,
    amount,
  ])
  if (given.rowCount !== 1) throw new TakenBack(`there is no account ${to}`)
}

async function moveByReading(session: Session, from: number, to: number, amount: number): Promise<void> {
  const source = await balanceOf(session, from)
  if (source < amount) throw new TakenBack(`account ${from} has ${source}, less than ${amount}`)
  const target = await balanceOf(session, to)
  await session.query('UPDATE chaos_bank SET balance = $2 WHERE id = $1', [from, source - amount])
  await session.query('UPDATE chaos_bank SET balance = $2 WHERE id = $1', [to, target + amount])
}

async function balanceOf(session: Session, account: number): Promise<number> {
  const { rows } = await session.query('SELECT balance FROM chaos_bank WHERE id = $1', [account])
  return Number(rows[0]?.['balance'])
}

async function readPushedDown(session: Session): Promise<Json> {
  const { rows } = await session.query('SELECT id, balance FROM chaos_bank')
  return Object.fromEntries(rows.map((row) => [String(row['id']), Number(row['balance'])]))
}

async function readGathered(session: Session): Promise<Json> {
  const { rows } = await session.query(
    'SELECT id, sum(balance) AS balance FROM chaos_bank GROUP BY id ORDER BY id',
  )
  return Object.fromEntries(rows.map((row) => [String(row['id']), Number(row['balance'])]))
}

async function readOneByOne(session: Session): Promise<Json> {
  return session.transaction(async () => {
    const balances: Record<string, number> = {}
    for (const account of Object.keys(initialBalances).map(Number))
      balances[account] = await balanceOf(session, account)
    return balances
  })
}
