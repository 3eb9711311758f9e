/**
 * PostgreSQL's online backup: begin, end, and nothing else. The statements run in quiet moments of the lane, both in the one session that
 * the engine has; a restart of PostgreSQL in between ends the backup, which `end` tells.
 */
import { isMirabelleError, MirabelleError, parseLsn, type Lsn } from '@mirabelle/messages'
import { delay, type Clock } from '@mirabelle/runtime'
import type { RunSql } from '../instance-options.ts'
import { ensureSlot } from '../maintenance/slot.ts'

/** How long a backup waits for a moment without an open or prepared transaction, ms. */
const QUIET_MS = 300_000
const RETRY_MS = 100
const START_SQL = `SELECT pg_backup_start('mirabelle', true)`
const STOP_SQL = 'SELECT lsn, labelfile FROM pg_backup_stop(false)'
/** SQLSTATE of "a backup is already in progress in this session" and of "backup is not in progress". */
const WRONG_STATE = '55000'

/** Runs work in a quiet moment; false when there was none. */
export type Quietly = (work: (run: RunSql) => Promise<void>) => Promise<boolean>

export interface OnlineBackupOptions {
  readonly clock: Clock
  readonly quietly: Quietly
  /** Who is asked, for errors. */
  readonly subject: string
  /** True when nobody needs the backup any more, or the instance is no primary: waits end. */
  readonly over: () => boolean
}

/** What `pg_backup_stop` gives. */
export interface BackupEnd {
  readonly endLsn: Lsn
  readonly label: string
}

/** Begins a backup; resolves with the LSN from which on WAL is needed. Makes sure that the slot which keeps that WAL is there. */
export async function beginBackup(options: OnlineBackupOptions): Promise<Lsn> {
  let start: string | null | undefined
  await whenQuiet(options, async (run) => {
    await ensureSlot(run)
    start = (await run(START_SQL).catch((error: unknown) => again(run, error)))[0]?.[0]
  })
  return parseLsn(start as string)
}

/** Ends the backup. Rejects with `not.ready` when PostgreSQL has been restarted since it began. */
export async function endBackup(options: OnlineBackupOptions): Promise<BackupEnd> {
  let row: readonly (string | null)[] | undefined
  await whenQuiet(options, async (run) => {
    row = (await run(STOP_SQL))[0]
  }).catch((error: unknown) => {
    if (!isWrongState(error)) throw error
    throw new MirabelleError(
      'not.ready',
      `PostgreSQL of ${options.subject} was restarted during the backup, which ended it: the copy has to begin again`,
      { cause: error },
    )
  })
  const [lsn, label] = row as readonly [string, string]
  return { endLsn: parseLsn(lsn), label }
}

/** A backup of before was not ended: its asker went away while no quiet moment came. */
async function again(run: RunSql, error: unknown): ReturnType<RunSql> {
  if (!isWrongState(error)) throw error
  await run(STOP_SQL)
  return run(START_SQL)
}

function isWrongState(error: unknown): boolean {
  return isMirabelleError(error, 'internal') && error.detail?.['sqlstate'] === WRONG_STATE
}

async function whenQuiet(options: OnlineBackupOptions, work: (run: RunSql) => Promise<void>): Promise<void> {
  const { clock, quietly, subject, over } = options
  const until = clock.monotonic() + QUIET_MS
  while (!(await quietly(work))) {
    if (over()) throw new MirabelleError('connection.lost', `the backup of ${subject} is not wanted any more`)
    if (clock.monotonic() >= until) {
      throw new MirabelleError(
        'timeout',
        `no moment without an open or prepared transaction on ${subject} within ${QUIET_MS} ms: the backup cannot go on`,
      )
    }
    await delay(clock, RETRY_MS)
  }
}
