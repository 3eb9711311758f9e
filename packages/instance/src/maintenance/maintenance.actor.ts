/**
 * Housekeeping of a primary's PostgreSQL, which has no background processes: the replication slot, CHECKPOINT by time and by WAL
 * size, VACUUM and ANALYZE when there is time for it.
 *
 * Made by the primary side when it opens, ended with it. All SQL goes through the quiet lane: never inside somebody's transaction and
 * never while a prepared transaction is pending (I6); the latter is looked up in PostgreSQL itself before anything else runs.
 * What could not run now is tried again at the next look.
 */
import type { EnginePort } from '@mirabelle/engine'
import { formatLsn, parseLsn, type Lsn, type Settings } from '@mirabelle/messages'
import { faults, type Clock, type Logger, type Timer } from '@mirabelle/runtime'
import type { QuietLane, RunSql } from '../instance-options.ts'
import { decodeAnswer, queryMessage } from '../sql/simple-query.ts'
import { Autovacuum } from './autovacuum.ts'
import { advanceSlotSql, ensureSlot, slotPositionSql, slotTarget } from './slot.ts'

const LOOK_INTERVAL_MS = 1_000
/** How long statements may be held back for the instance's own. */
const LANE_WAIT_MS = 5_000
const PREPARED_SQL = 'SELECT count(*) FROM pg_prepared_xact()'

export interface MaintenanceOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly engine: EnginePort
  readonly settings: () => Settings
  readonly lane: QuietLane | undefined
  readonly endLsn: () => Lsn
  /** What the mirror has; undefined when there is no mirror. */
  readonly mirrorFlushLsn: () => Lsn | undefined
  /** WAL that copies need; undefined when there is none under way. */
  readonly pinnedLsn: () => Lsn | undefined
  /** A copy of the data directory is under way. */
  readonly copying: () => boolean
}

export class Maintenance {
  readonly #options: MaintenanceOptions
  readonly #lane: QuietLane
  readonly #autovacuum: Autovacuum
  #timer: Timer | undefined
  #stopped = false
  #slotMade = false
  #slotLsn: Lsn = 0
  #ownTag = -1
  #checkpointLsn: Lsn
  #checkpointAt: number

  constructor(options: MaintenanceOptions) {
    this.#options = options
    this.#lane = options.lane ?? this.#straight
    this.#checkpointLsn = options.endLsn()
    this.#checkpointAt = options.clock.monotonic()
    this.#autovacuum = new Autovacuum({
      ...options,
      enabled: () => options.settings().autovacuum,
      quietly: (work) => this.quietly(work),
    })
    // Not at once: whoever waited for this primary comes first. No WAL goes before the first checkpoint, which makes the slot if need be.
    this.#schedule(LOOK_INTERVAL_MS)
  }

  /** Where the slot keeps WAL from; 0 before it was looked at. */
  get slotLsn(): Lsn {
    return this.#slotLsn
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.clear()
  }

  /** Checkpoint and slot now. False when no quiet moment came in time. */
  checkpointNow(): Promise<boolean> {
    return this.quietly((run) => this.#checkpoint(run))
  }

  #schedule(ms: number): void {
    if (this.#stopped) return
    this.#timer = this.#options.clock.setTimer(ms, () => {
      void this.#look().finally(() => this.#schedule(LOOK_INTERVAL_MS))
    })
  }

  async #look(): Promise<void> {
    const now = this.#options.clock.monotonic()
    const settings = this.#options.settings()
    const end = this.#options.endLsn()
    try {
      if (!this.#slotMade) await this.quietly((run) => this.#makeSlot(run))
      const written = end - this.#checkpointLsn
      const due = written > 0 && now - this.#checkpointAt >= settings.checkpoint_timeout
      if (due || written >= settings.max_wal_size) await this.checkpointNow()
      else await this.#autovacuum.look()
    } catch (error) {
      if (this.#stopped) return
      this.#options.log.warn({ err: error }, 'housekeeping failed; it is tried again')
    }
  }

  async #makeSlot(run: RunSql): Promise<void> {
    this.#slotLsn = (await ensureSlot(run)) ?? 0
    this.#slotMade = true
  }

  async #checkpoint(run: RunSql): Promise<void> {
    const end = this.#options.endLsn()
    const startedAt = this.#options.clock.monotonic()
    if (!this.#slotMade) await this.#makeSlot(run)
    await this.#moveSlot(run, end)
    if (faults !== undefined) await faults.at('checkpoint.before')
    await run('CHECKPOINT')
    if (faults !== undefined) await faults.at('checkpoint.after')
    this.#checkpointLsn = this.#options.endLsn()
    this.#checkpointAt = this.#options.clock.monotonic()
    const tookMs = Math.round(this.#checkpointAt - startedAt)
    this.#options.log.info({ lsn: formatLsn(this.#checkpointLsn), tookMs }, 'checkpoint complete')
  }

  async #moveSlot(run: RunSql, endLsn: Lsn): Promise<void> {
    const at = (await run(slotPositionSql))[0]?.[0]
    if (at === undefined || at === null) {
      this.#slotMade = false
      return
    }
    const mirrorFlushLsn = this.#options.mirrorFlushLsn()
    const keepBytes = this.#options.settings().max_slot_wal_keep_size
    const pinnedLsn = this.#options.pinnedLsn()
    const restartLsn = parseLsn(at)
    this.#slotLsn = restartLsn
    const target = slotTarget({ restartLsn, mirrorFlushLsn, pinnedLsn, endLsn, keepBytes })
    if (target === undefined) return
    if (target.mirrorLoses) {
      this.#options.log.warn(
        { slotLsn: at, to: formatLsn(target.lsn), keepBytes },
        'the mirror is further behind than max_slot_wal_keep_size: it needs a differential copy to come back',
      )
    }
    await run(advanceSlotSql(target.lsn))
    this.#slotLsn = target.lsn
  }

  /** Runs `work` in a quiet moment without prepared transactions. False when there was none, or one is pending. */
  async quietly(work: (run: RunSql) => Promise<void>): Promise<boolean> {
    let ran = false
    await this.#lane(async (run) => {
      if (this.#stopped) return
      const prepared = (await run(PREPARED_SQL))[0]?.[0]
      if (prepared !== '0') return
      await work(run)
      ran = true
    }, LANE_WAIT_MS)
    return ran
  }

  readonly #straight: QuietLane = async (work) => {
    await work(async (sql) => {
      const request = { bytes: queryMessage(sql), syncs: 1, tag: this.#ownTag-- }
      const result = await this.#options.engine.submit(request)
      return decodeAnswer(sql, result.output)
    })
    return true
  }
}
