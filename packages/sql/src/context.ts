/**
 * What planning of one statement shares between the files of this package.
 */
import { constantText, type BindContext } from './analysis/constants.ts'
import { survey, type FunctionUse, type RelationUse, type Survey } from './analysis/survey.ts'
import { refuseFunction } from './analysis/functions.ts'
import type { Ast } from './ast.ts'
import type { CatalogView, TableInfo } from './catalog.ts'
import { notSupported, Refusal } from './errors.ts'
import { refuseGreenplumRelation } from './greenplum-names.ts'
import { byteIndexer } from './lex/edits.ts'
import type { RawStatement } from './parse.ts'
import type { KeyPart } from './plan.ts'
import { isShownSetting } from './shown-settings.ts'

export interface PlanContext extends BindContext {
  readonly sql: string
  readonly statement: RawStatement
  readonly catalog: CatalogView
  readonly survey: Survey
  /** Byte position of the parser to position in `sql`. */
  readonly at: (byte: number | undefined) => number
  /** How deep views are expanded. */
  readonly depth: number
  /** It reads system catalogs of the segments (gp_dist_random): functions mean the segment that calls them. */
  readonly everywhere: boolean
  /** What clauses that run on the segments (ON CONFLICT, RETURNING) contain. */
  readonly tailLimits: (tail: unknown) => TailLimits
}

export interface TailLimits {
  readonly coordinatorFunction: string | undefined
  readonly subqueries: boolean
  /** Something that may give different results on two segments. */
  readonly differing: boolean
}

export function makeContext(
  statement: RawStatement,
  catalog: CatalogView,
  paramTypes: readonly (string | undefined)[],
  { depth = 0, everywhere = false }: { readonly depth?: number; readonly everywhere?: boolean } = {},
): PlanContext {
  const indexer = byteIndexer(statement.sql)
  return {
    sql: statement.sql,
    statement,
    catalog,
    survey: survey(statement.body, statement.kind, catalog),
    at: (byte) => indexer(byte ?? 0),
    depth,
    everywhere,
    tailLimits: (tail) => {
      const own = survey(tail as Ast, 'tail', catalog)
      return {
        coordinatorFunction: own.functions.find((use) => use.placement === 'coordinator')?.name,
        subqueries: own.subqueries,
        differing: own.stableValues || own.functions.some((use) => use.placement !== 'constant'),
      }
    },
    paramTypes,
    constantAt: new Map<KeyPart, number>(),
    valueDependent: false,
  }
}

/** Refuses relations that do not exist (a stale catalog must not read the coordinator's empty tables), and functions that have no meaning
 * here, wherever the statement would run. */
export function checkNames(context: PlanContext): void {
  for (const use of context.survey.relations) {
    if (use.table !== undefined) continue
    refuseGreenplumRelation(context.catalog, use.schema, use.name)
    const name = use.schema === undefined ? use.name : `${use.schema}.${use.name}`
    const position = context.at(use.rangeVar.location as number | undefined) + 1
    throw new Refusal('42P01', `relation "${name}" does not exist`, undefined, { position })
  }
  for (const use of context.survey.functions) {
    refuseFunction(use.info, use.name)
    refuseElsewhere(context, use)
  }
}

/** Functions that know the session, or the cluster, only where the coordinator runs the whole SELECT, or answers it. */
function refuseElsewhere(context: PlanContext, { name, info, call }: FunctionUse): void {
  if (info?.userDefined === true) return
  const setting =
    name === 'current_setting' ? constantText(call.args?.[0] as Ast | undefined)?.toLowerCase() : undefined
  if (setting !== undefined && isShownSetting(setting))
    throw notSupported(
      `current_setting of "${setting}" is supported only as a SELECT of its own`,
      `Use SHOW ${setting}, or SELECT setting FROM pg_settings.`,
    )
  if (name !== 'pg_backend_pid') return
  const isElsewhere = ({ table }: RelationUse): boolean =>
    table?.policy !== undefined || table?.viewTouchesDistributed === true
  if (context.statement.kind !== 'SelectStmt' || context.survey.relations.some(isElsewhere))
    throw notSupported(
      'pg_backend_pid is supported only in a SELECT over relations of the coordinator',
      'Ask for it first: SELECT pg_backend_pid().',
    )
}

/** Tables with rows on the contents that the statement names, the target included. */
export function distributedTables(context: PlanContext): TableInfo[] {
  return context.survey.relations.flatMap((use) => (use.table?.policy === undefined ? [] : [use.table]))
}

/** A table whose rows are spread over the contents. */
export function isPartitioned(table: TableInfo | undefined): boolean {
  return table?.policy?.kind === 'hash' || table?.policy?.kind === 'random'
}

/** The table of a RangeVar, if it is a relation of the statement (not a CTE). */
export function tableOf(context: PlanContext, rangeVar: Ast): TableInfo | undefined {
  return context.survey.relations.find((use) => use.rangeVar === rangeVar)?.table
}
