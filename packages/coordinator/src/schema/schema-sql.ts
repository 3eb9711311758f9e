/**
 * The queries that read the schema of the coordinator's PostgreSQL, each one JSON text. They run as superuser with search_path = pg_catalog,
 * so that the definitions of views come with full names.
 */
import type { SessionSettings } from '../lanes/lane-item.ts'

export const SCHEMA_SETTINGS: SessionSettings = { key: 'schema', sql: 'SET search_path = pg_catalog' }

/** OIDs below are PostgreSQL's own: they never change while it runs. */
const FIRST_NORMAL_OID = 16384

/** Worst volatility of the functions that a stored expression calls: 'c' constant, 's' stable, 'v' volatile. */
const volatilityOf = (tree: string) => `CASE
    WHEN ${tree} LIKE '%NEXTVALUEEXPR%' THEN 'v'
    WHEN EXISTS (SELECT 1 FROM regexp_matches(${tree}, ':(?:op)?funcid ([0-9]+)', 'g') AS m JOIN pg_proc f ON f.oid = m[1]::oid
                 WHERE f.provolatile = 'v') THEN 'v'
    WHEN ${tree} LIKE '%SQLVALUEFUNCTION%' OR ${tree} LIKE '%COERCEVIAIO%' THEN 's'
    WHEN EXISTS (SELECT 1 FROM regexp_matches(${tree}, ':(?:op)?funcid ([0-9]+)', 'g') AS m JOIN pg_proc f ON f.oid = m[1]::oid
                 WHERE f.provolatile = 's') THEN 's'
    ELSE 'c' END`

/** What users made: read again after each change. */
export const userSchemaSql = `SELECT json_build_object(
'schemas', (SELECT json_agg(nspname) FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'),
'tables', (SELECT coalesce(json_agg(t), '[]') FROM (
  SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, p.policytype AS policy, p.distkey AS key,
    (SELECT json_agg(json_build_array(a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, NULL),
        CASE WHEN a.attidentity <> '' THEN 'i' WHEN a.attgenerated <> '' THEN 'g'
             WHEN d.adbin IS NOT NULL THEN ${volatilityOf('d.adbin::text')}
             WHEN ty.typdefaultbin IS NOT NULL THEN ${volatilityOf('ty.typdefaultbin::text')} END) ORDER BY a.attnum)
       FROM pg_attribute a JOIN pg_type ty ON ty.oid = a.atttypid
       LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
    (SELECT json_agg(json_build_array(ic.relname, i.indisprimary,
        (SELECT json_agg(coalesce(ia.attname, '') ORDER BY k.n) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(att, n)
           LEFT JOIN pg_attribute ia ON ia.attrelid = i.indrelid AND ia.attnum = k.att AND k.att > 0 WHERE k.n <= i.indnkeyatts)))
       FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisunique) AS indexes,
    CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END AS definition,
    CASE WHEN c.relkind IN ('v', 'm') THEN (SELECT json_agg(DISTINCT d.refobjid::int8) FROM pg_rewrite r JOIN pg_depend d
       ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
      WHERE r.ev_class = c.oid AND d.refobjid <> c.oid) END AS reads
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN gp_distribution_policy p ON p.localoid = c.oid
  WHERE c.oid >= ${FIRST_NORMAL_OID} AND c.relkind IN ('r', 'v', 'm', 'S', 'f', 'p') AND c.relpersistence <> 't') t),
'functions', (SELECT coalesce(json_agg(json_build_array(n.nspname, p.proname, p.provolatile, p.prokind IN ('a', 'w'), l.lanname,
    coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))), '[]')
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang WHERE p.oid >= ${FIRST_NORMAL_OID}),
'types', (SELECT coalesce(json_agg(json_build_array(oid::int8, format_type(oid, NULL))), '[]') FROM pg_type WHERE oid >= ${FIRST_NORMAL_OID}),
'roles', (SELECT json_agg(json_build_array(a.rolname, a.rolsuper, a.rolcanlogin, a.rolpassword,
    CASE WHEN isfinite(a.rolvaliduntil) THEN (extract(epoch FROM a.rolvaliduntil) * 1000)::float8 WHEN a.rolvaliduntil < 'infinity' THEN 0 END,
    (SELECT json_agg(config ORDER BY s.setrole <> 0, s.setdatabase <> 0) FROM pg_db_role_setting s, unnest(s.setconfig) AS config
      WHERE s.setrole IN (0, a.oid) AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))))) FROM pg_authid a))`

/** What PostgreSQL brings along: read once. */
export const systemSchemaSql = `SELECT json_build_object(
'tables', (SELECT json_agg(json_build_array(c.oid::int8, n.nspname, c.relname, c.relkind)) FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid < ${FIRST_NORMAL_OID} AND c.relkind IN ('r', 'v') AND n.nspname <> 'pg_toast'),
'functions', (SELECT json_agg(json_build_array(nspname, proname, volatility, aggregate)) FROM (
  SELECT n.nspname, p.proname, max(CASE p.provolatile WHEN 'i' THEN 'a' WHEN 's' THEN 's' ELSE 'v' END) AS volatility,
    bool_or(p.prokind IN ('a', 'w')) AS aggregate
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid < ${FIRST_NORMAL_OID} GROUP BY 1, 2) f),
'types', (SELECT json_agg(json_build_array(oid::int8, format_type(oid, NULL))) FROM pg_type WHERE oid < ${FIRST_NORMAL_OID}),
'settings', (SELECT json_object_agg(lower(name), coalesce(reset_val, setting)) FROM pg_show_all_settings()))`

/** Shapes of the answers. */
export interface UserSchemaJson {
  readonly schemas: readonly string[]
  readonly tables: readonly {
    readonly oid: number
    readonly schema: string
    readonly name: string
    readonly kind: string
    readonly policy: string | null
    readonly key: readonly number[] | null
    readonly columns: readonly (readonly [number, string, string, string, string | null])[] | null
    readonly indexes: readonly (readonly [string, boolean, readonly string[]])[] | null
    readonly definition: string | null
    readonly reads: readonly number[] | null
  }[]
  readonly functions: readonly (readonly [string, string, string, boolean, string, string])[]
  readonly types: readonly (readonly [number, string])[]
  readonly roles: readonly (readonly [
    string,
    boolean,
    boolean,
    string | null,
    number | null,
    readonly string[] | null,
  ])[]
}

export interface SystemSchemaJson {
  readonly tables: readonly (readonly [number, string, string, string])[]
  readonly functions: readonly (readonly [string, string, string, boolean])[]
  readonly types: readonly (readonly [number, string])[]
  readonly settings: Readonly<Record<string, string>>
}
