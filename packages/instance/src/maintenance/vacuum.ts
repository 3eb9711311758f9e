/**
 * Which tables autovacuum would take, by PostgreSQL's own thresholds and defaults, and what else has to be done before transaction numbers wrap around.
 * The engine has no autovacuum of its own and, being no postmaster's child, does not even refuse numbers that would wrap: rows older than two thousand
 * million transactions would be gone.
 */
import type { TextRows } from '../sql/simple-query.ts'

/** A statement of the housekeeping. */
export interface VacuumWork {
  readonly statement: string
  /** It keeps transaction numbers from wrapping around: it waits for nothing, and is done with `autovacuum` off too. */
  readonly urgent: boolean
}

const FREEZE_AGE = `current_setting('autovacuum_freeze_max_age')::int`
const MULTIXACT_FREEZE_AGE = `current_setting('autovacuum_multixact_freeze_max_age')::int`

/**
 * Rows: schema, table, needs VACUUM (t/f), needs ANALYZE (t/f), is about to wrap around (t/f). The most urgent first, then those with the most dead rows.
 * A table answers for its TOAST table; temporary tables are for the session that made them, which is the only one there is.
 */
export const vacuumCandidatesSql = `SELECT * FROM (SELECT n.nspname, c.relname,
 coalesce(s.n_dead_tup > 50 + 0.2 * greatest(c.reltuples, 0), false) AS dead,
 coalesce(s.n_mod_since_analyze > 50 + 0.1 * greatest(c.reltuples, 0), false) AND c.oid <> 'pg_statistic'::regclass AS changed,
 greatest(age(c.relfrozenxid), age(o.relfrozenxid)) > ${FREEZE_AGE}
  OR greatest(mxid_age(c.relminmxid), mxid_age(o.relminmxid)) > ${MULTIXACT_FREEZE_AGE} AS old
 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_class o ON o.oid = c.reltoastrelid LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
 WHERE c.relkind IN ('r', 'm') AND (c.relpersistence <> 't' OR c.relnamespace = pg_my_temp_schema())
 ORDER BY old DESC, s.n_dead_tup DESC NULLS LAST) candidates
 WHERE old OR dead OR changed LIMIT 20`

/**
 * Databases that nobody can connect to, the engine's one session being in another: initdb has frozen all that is in them, and nothing changes there, so their
 * numbers may be as new as the oldest that is still running. They would hold back the whole instance otherwise.
 */
export const freezeTemplatesSql = `UPDATE pg_database SET datfrozenxid = pg_snapshot_xmin(pg_current_snapshot())::xid,
 datminmxid = (SELECT next_multixact_id::xid FROM pg_control_checkpoint())
 WHERE datname IN ('template0', 'template1') AND datname <> current_database()
  AND (age(datfrozenxid) > ${FREEZE_AGE} OR mxid_age(datminmxid) > ${MULTIXACT_FREEZE_AGE})`

/** Rows: the database that is nearest to wrapping around, and how many transactions ago its oldest row may have been written. */
export const oldestDatabaseSql = `SELECT datname, greatest(age(datfrozenxid), mxid_age(datminmxid))
 FROM pg_database ORDER BY 2 DESC LIMIT 1`

/** What is to be done for the candidates. The templates come first: it is the next VACUUM that looks at them. */
export function vacuumWork(rows: TextRows): VacuumWork[] {
  const work = rows.map(([schema, table, dead, changed, old]): VacuumWork => {
    const name = `${quote(schema ?? '')}.${quote(table ?? '')}`
    const urgent = old === 't'
    if (dead !== 't' && !urgent) return { statement: `ANALYZE ${name}`, urgent }
    return { statement: changed === 't' ? `VACUUM (ANALYZE) ${name}` : `VACUUM ${name}`, urgent }
  })
  return work.some(({ urgent }) => urgent) ? [{ statement: freezeTemplatesSql, urgent: true }, ...work] : work
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
