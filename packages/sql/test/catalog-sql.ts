/**
 * Queries that read the catalog of a real engine for `SnapshotCatalog`. Each answers rows of one text column holding JSON.
 */

/** A row of `CATALOG_SQL.relations`. */
export interface RelationRow {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** pg_class.relkind */
  readonly kind: string
  readonly columns: readonly {
    readonly name: string
    readonly type: string
    readonly identity: string
    readonly generated: string
    /** Text of the default. */
    readonly fallback: string | null
  }[]
  readonly unique: readonly {
    readonly name: string
    readonly primary: boolean
    readonly columns: readonly (string | null)[]
  }[]
  readonly view: string | null
  /** Views: oids of the relations that the definition names. */
  readonly reads: readonly number[] | null
}

/** A row of `CATALOG_SQL.functions`. */
export interface FunctionRow {
  readonly schema: string
  readonly name: string
  /** Worst of the overloads: i, s, v. */
  readonly volatility: 'i' | 's' | 'v'
  readonly aggregate: boolean
  /** Bodies of user-defined overloads. */
  readonly bodies: readonly { readonly language: string; readonly body: string }[] | null
}

export const CATALOG_SQL = {
  /** Relations outside the system schemas. */
  relations: `SELECT pg_catalog.json_build_object(
  'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
  'columns', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname,
      'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'identity', a.attidentity, 'generated', a.attgenerated,
      'fallback', CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END) ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'),
  'unique', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', ic.relname, 'primary', i.indisprimary,
      'columns', (SELECT pg_catalog.json_agg(ka.attname ORDER BY k.ord) FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY k(att, ord)
        LEFT JOIN pg_catalog.pg_attribute ka ON ka.attrelid = c.oid AND ka.attnum = k.att WHERE k.ord <= i.indnkeyatts)) ORDER BY ic.relname)
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisunique), '[]'),
  'view', CASE WHEN c.relkind = 'v' THEN pg_catalog.pg_get_viewdef(c.oid) END,
  'reads', CASE WHEN c.relkind = 'v' THEN (SELECT pg_catalog.json_agg(DISTINCT d.refobjid::bigint)
    FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
    WHERE r.ev_class = c.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> c.oid) END)::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'S', 'f', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND n.nspname !~ '^pg_temp_|^pg_toast_temp_'`,
  /** Names of system relations: they hide relations of the same name that follow in the search_path. */
  systemRelations: `SELECT pg_catalog.to_json(c.relname)::text FROM pg_catalog.pg_class c
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v')`,
  /** All functions, overloads of one name in one schema together. */
  functions: `SELECT pg_catalog.json_build_object('schema', n.nspname, 'name', p.proname, 'volatility', pg_catalog.max(p.provolatile::text),
  'aggregate', pg_catalog.bool_or(p.prokind IN ('a', 'w')),
  'bodies', pg_catalog.json_agg(pg_catalog.json_build_object('language', l.lanname, 'body',
      coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc))) FILTER (WHERE p.oid >= 16384))::text
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang
GROUP BY n.nspname, p.proname`,
} as const
