/**
 * What the planner needs to know about tables and functions. The coordinator builds a snapshot from its own PostgreSQL
 * (`catalog-sql.ts` has the queries) after each DDL and hands it to the planner; nothing here does I/O.
 */

/** How the rows of a table are placed (sql.md §4). `types` are `format_type` names without modifier, in key order. */
export type DistributionPolicy =
  | { readonly kind: 'hash'; readonly columns: readonly string[]; readonly types: readonly string[] }
  | { readonly kind: 'random' }
  | { readonly kind: 'replicated' }

/** One column, in attribute order. */
export interface ColumnInfo {
  readonly name: string
  /** As `format_type(atttypid, atttypmod)` says it: `integer`, `character varying(10)`, `numeric(10,2)`, … */
  readonly type: string
  /** Nothing, or what fills the column when INSERT leaves it out. `volatile`: a default that must be evaluated once, on the
   * coordinator (nextval, random(), clock_timestamp(), any volatile function). `stable`: now() and the like. `identity`: draws
   * from a sequence. `generated`: computed from the other columns of the row, never given. */
  readonly fill?: 'constant' | 'stable' | 'volatile' | 'identity' | 'generated'
}

/** A unique index or constraint. */
export interface UniqueIndexInfo {
  readonly name: string
  readonly primary: boolean
  /** Column names; an expression stands as ''. */
  readonly columns: readonly string[]
}

/** A relation that a statement can name. */
export interface TableInfo {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly kind: 'table' | 'view' | 'materialized view' | 'sequence' | 'foreign table' | 'other'
  /** Undefined: lives on the coordinator only (system catalogs, views, sequences, tables of the coordinator). */
  readonly policy?: DistributionPolicy
  readonly columns: readonly ColumnInfo[]
  readonly uniqueIndexes: readonly UniqueIndexInfo[]
  /** Views: `pg_get_viewdef(oid)`, without the final semicolon. */
  readonly viewDefinition?: string
  /** Views: true when the view reads a distributed table, directly or through other views. */
  readonly viewTouchesDistributed?: boolean
  /** The live views of the cluster that it shows, itself or through views: they are to be filled anew before it is read. */
  readonly live?: readonly string[]
}

/** All functions of one name that a call could mean, taken together: the worst volatility of the overloads. */
export interface FunctionInfo {
  readonly name: string
  readonly volatility: 'immutable' | 'stable' | 'volatile'
  /** Some overload is an aggregate (or only a window function): the call is not row by row. */
  readonly aggregate: boolean
  /** False for functions that initdb made (oid < 16384). */
  readonly userDefined: boolean
  /** User-defined: the body may touch a distributed table or change the schema (see `bodyTouchesTables`). Undefined = not known = yes. */
  readonly touchesDistributed?: boolean
}

/** One consistent view of the catalog, with the session's search_path applied. */
export interface CatalogView {
  /** Grows with each change of schema; part of the key of the shape cache. */
  readonly version: number
  /** Identifies the search_path (and whatever else `lookup` depends on); part of the key of the shape cache. */
  readonly pathKey: string
  readonly segmentCount: number
  /** Must know every relation, system catalogs included: what it does not know does not exist (42P01). `schema` undefined: resolve through the search_path (pg_catalog first, as PostgreSQL does). */
  lookup(schema: string | undefined, name: string): TableInfo | undefined
  lookupFunction(schema: string | undefined, name: string): FunctionInfo | undefined
}
