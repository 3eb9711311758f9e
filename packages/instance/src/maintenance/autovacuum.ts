/**
 * VACUUM and ANALYZE when there is time for it: a look at all tables once a minute, then one table at a time, each in its own quiet moment.
 *
 * Made by the housekeeping, which calls `look` once a second. While a copy of the data directory runs only what keeps transaction numbers from wrapping
 * around is done: a page's first change after the copy's checkpoint puts the whole page into WAL, and that WAL is fetched and replayed by the copy, so that
 * vacuuming a new table meanwhile would have it copied twice.
 */
import type { Lsn } from '@mirabelle/messages'
import type { Clock, Logger } from '@mirabelle/runtime'
import type { RunSql } from '../instance-options.ts'
import { oldestDatabaseSql, vacuumCandidatesSql, vacuumWork, type VacuumWork } from './vacuum.ts'

const LOOK_INTERVAL_MS = 60_000
/** From this age of the oldest row on it is said at each look that vacuuming does not get through: PostgreSQL's `vacuum_failsafe_age`, transactions. */
const ALARM_AGE = 1_600_000_000
/** How far two transaction numbers may be apart, transactions. */
const WRAP_AGE = 2 ** 31

export interface AutovacuumOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly endLsn: () => Lsn
  /** The setting `autovacuum`. */
  readonly enabled: () => boolean
  /** A copy of the data directory is under way. */
  readonly copying: () => boolean
  /** Runs work in a quiet moment; false when there was none. */
  readonly quietly: (work: (run: RunSql) => Promise<void>) => Promise<boolean>
}

export class Autovacuum {
  readonly #options: AutovacuumOptions
  #todo: VacuumWork[] = []
  #lookedAt: number
  #lookedLsn: Lsn

  constructor(options: AutovacuumOptions) {
    this.#options = options
    this.#lookedAt = options.clock.monotonic()
    this.#lookedLsn = options.endLsn()
  }

  /** Does at most one thing. Rejects when a statement fails; the next look goes on with the next one. */
  async look(): Promise<void> {
    const { clock, endLsn, log, quietly } = this.#options
    if (this.#todo.length === 0) {
      const now = clock.monotonic()
      const end = endLsn()
      if (now - this.#lookedAt < LOOK_INTERVAL_MS || end === this.#lookedLsn) return
      if (!(await quietly((run) => this.#list(run)))) return
      this.#lookedAt = now
      this.#lookedLsn = end
    }
    const work = this.#take()
    if (work === undefined) return
    const ran = await quietly(async (run) => {
      await run(work.statement)
      if (work.urgent) log.info({ statement: work.statement }, 'autovacuum, to prevent wraparound')
      else log.debug({ statement: work.statement }, 'autovacuum')
    })
    if (ran) this.#lookedLsn = endLsn()
    else this.#todo.unshift(work)
  }

  async #list(run: RunSql): Promise<void> {
    this.#todo = vacuumWork(await run(vacuumCandidatesSql))
    const [database, age] = (await run(oldestDatabaseSql))[0] ?? []
    if (Number(age) < ALARM_AGE) return
    this.#options.log.error(
      { database, age: Number(age), left: WRAP_AGE - Number(age) },
      'transaction numbers are about to wrap around, and the oldest rows would be lost: end what has been open for long (pg_stat_activity, "mirabelle state" for transactions in doubt) and run VACUUM',
    )
  }

  /** The next thing that may be done now. */
  #take(): VacuumWork | undefined {
    const onlyUrgent = !this.#options.enabled() || this.#options.copying()
    const at = onlyUrgent ? this.#todo.findIndex(({ urgent }) => urgent) : 0
    return at < 0 ? undefined : this.#todo.splice(at, 1)[0]
  }
}
