/** Which tables autovacuum would take, by PostgreSQL's own thresholds and defaults. The engine has no autovacuum of its own. */
import type { TextRows } from '../sql/simple-query.ts'

/** Rows: schema, table, needs VACUUM (t/f), needs ANALYZE (t/f). The tables with the most dead rows first. */
export const vacuumCandidatesSql = `SELECT s.schemaname, s.relname,
 s.n_dead_tup > 50 + 0.2 * greatest(c.reltuples, 0), s.n_mod_since_analyze > 50 + 0.1 * greatest(c.reltuples, 0)
 FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
 WHERE c.relpersistence = 'p' AND (s.n_dead_tup > 50 + 0.2 * greatest(c.reltuples, 0)
  OR s.n_mod_since_analyze > 50 + 0.1 * greatest(c.reltuples, 0))
 ORDER BY s.n_dead_tup DESC LIMIT 20`

/** One statement for each candidate. */
export function vacuumStatements(rows: TextRows): string[] {
  return rows.map(([schema, table, vacuum, analyze]) => {
    const name = `${quote(schema ?? '')}.${quote(table ?? '')}`
    if (vacuum !== 't') return `ANALYZE ${name}`
    return analyze === 't' ? `VACUUM (ANALYZE) ${name}` : `VACUUM ${name}`
  })
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
