/** The physical replication slot that keeps WAL for a mirror that is away or a copy that is under way, under Greenplum's name. */
import { formatLsn, parseLsn, type Lsn } from '@mirabelle/messages'
import type { RunSql } from '../instance-options.ts'

/** Name of the slot on every primary. */
export const SLOT_NAME = 'internal_wal_replication_slot'

/** Where the slot stands, by PostgreSQL's own function: the view of that name shows more, and only on the coordinator; no row when it does not exist, NULL when its WAL was removed. */
export const slotPositionSql = `SELECT restart_lsn FROM pg_get_replication_slots() WHERE slot_name = '${SLOT_NAME}'`
/** Makes the slot unless it is there; WAL is kept from this moment on. One statement: a copy and the maintenance may come to it at the same time. */
const createSlotSql = `SELECT pg_create_physical_replication_slot('${SLOT_NAME}', true) WHERE NOT EXISTS (${slotPositionSql})`
/** Drops it if its WAL was removed. */
const dropSlotSql = `SELECT pg_drop_replication_slot(slot_name) FROM pg_get_replication_slots() WHERE slot_name = '${SLOT_NAME}' AND restart_lsn IS NULL`
export const advanceSlotSql = (lsn: Lsn): string =>
  `SELECT pg_replication_slot_advance('${SLOT_NAME}', '${formatLsn(lsn)}')`

/** Makes the slot, or makes it anew when its WAL was removed. Resolves with where it stands. */
export async function ensureSlot(run: RunSql): Promise<Lsn | undefined> {
  await run(dropSlotSql)
  await run(createSlotSql)
  const at = (await run(slotPositionSql))[0]?.[0]
  return at === undefined || at === null ? undefined : parseLsn(at)
}

export interface SlotSituation {
  /** Where the slot keeps WAL from. */
  readonly restartLsn: Lsn
  /** What the mirror has; undefined when there is no mirror to keep WAL for, 0 when it never connected. */
  readonly mirrorFlushLsn: Lsn | undefined
  /** A copy that is under way, or has just ended, needs WAL from here on. */
  readonly pinnedLsn: Lsn | undefined
  readonly endLsn: Lsn
  /** `max_slot_wal_keep_size`. */
  readonly keepBytes: number
}

/** Where the slot should be moved to, and whether the mirror loses WAL that it needs by that. undefined = leave it. */
export function slotTarget(
  at: SlotSituation,
): { readonly lsn: Lsn; readonly mirrorLoses: boolean } | undefined {
  const needed = Math.min(at.mirrorFlushLsn ?? at.endLsn, at.pinnedLsn ?? Number.POSITIVE_INFINITY)
  const oldestAllowed = at.endLsn - at.keepBytes
  const lsn = Math.max(needed, oldestAllowed)
  if (lsn <= at.restartLsn) return undefined
  const wanted = at.mirrorFlushLsn !== undefined || at.pinnedLsn !== undefined
  return { lsn, mirrorLoses: wanted && oldestAllowed > needed }
}
