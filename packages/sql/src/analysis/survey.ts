/**
 * One walk over a statement's parse tree: which relations it reads or writes (names of CTEs are not relations), which functions it
 * calls, and which features it uses that limit where it can run.
 */
import { namesOf, type Ast } from '../ast.ts'
import type { CatalogView, FunctionInfo, TableInfo } from '../catalog.ts'
import { lookupCall, placementOf, type Placement } from './functions.ts'

/** A table name in the statement. */
export interface RelationUse {
  readonly rangeVar: Ast
  readonly schema: string | undefined
  readonly name: string
  readonly table: TableInfo | undefined
  /** The target of INSERT, UPDATE, DELETE or MERGE. */
  readonly target: boolean
}

/** The name by which the statement knows it. */
export function aliasOf(use: RelationUse): string {
  return (use.rangeVar.alias?.aliasname ?? use.name) as string
}

export interface FunctionUse {
  readonly name: string
  readonly info: FunctionInfo | undefined
  readonly placement: Placement
  readonly call: Ast
}

export interface Survey {
  readonly relations: RelationUse[]
  readonly functions: FunctionUse[]
  subqueries: boolean
  aggregates: boolean
  windows: boolean
  ctes: boolean
  dataModifyingCte: boolean
  locking: boolean
  into: boolean
  currentOf: boolean
  stableValues: boolean
  params: boolean
  groupBy: boolean
  readonly systemColumns: string[]
}

const SYSTEM_COLUMNS = new Set(['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid'])
const AGGREGATE_NODES = new Set(['GroupingFunc', 'JsonObjectAgg', 'JsonArrayAgg'])

export function survey(stmt: Ast, kind: string, catalog: CatalogView): Survey {
  const found: Survey = {
    relations: [],
    functions: [],
    subqueries: false,
    aggregates: false,
    windows: false,
    ctes: false,
    dataModifyingCte: false,
    locking: false,
    into: false,
    currentOf: false,
    stableValues: false,
    params: false,
    groupBy: false,
    systemColumns: [],
  }
  visit(stmt, kind, new Set())
  return found

  function visit(node: unknown, key: string, scope: ReadonlySet<string>): void {
    if (Array.isArray(node)) {
      for (const item of node) visit(item, key, scope)
      return
    }
    if (node === null || typeof node !== 'object') return
    const body = node as Ast
    let inner = scope
    const isStatement =
      key === 'SelectStmt' ||
      key === 'InsertStmt' ||
      key === 'UpdateStmt' ||
      key === 'DeleteStmt' ||
      key === 'MergeStmt'
    if ((isStatement || key === 'larg' || key === 'rarg') && body.withClause !== undefined)
      inner = withScope(body.withClause as Ast, scope)
    note(body, key, inner)
    for (const child in body) {
      // FOR UPDATE OF names aliases, not relations.
      if ((child === 'withClause' && inner !== scope) || child === 'lockedRels') continue
      if (child === 'relation' && typeof body.relation?.relname === 'string') {
        addRelation(body.relation as Ast, new Set(), true)
        continue
      }
      visit(body[child], child, inner)
    }
  }

  function withScope(clause: Ast, scope: ReadonlySet<string>): ReadonlySet<string> {
    found.ctes = true
    const names = new Set(scope)
    const ctes = ((clause.ctes ?? []) as Ast[]).map((item) => item.CommonTableExpr as Ast)
    if (clause.recursive === true) for (const cte of ctes) names.add(cte.ctename as string)
    for (const cte of ctes) {
      const query = (cte.ctequery ?? {}) as Ast
      if (query.SelectStmt === undefined) found.dataModifyingCte = true
      // Nobody adds to the names of an outer scope while a query is visited.
      visit(query, 'ctequery', names)
      names.add(cte.ctename as string)
    }
    return names
  }

  function addRelation(rangeVar: Ast, scope: ReadonlySet<string>, target: boolean): void {
    const schema = rangeVar.schemaname as string | undefined
    const name = rangeVar.relname as string
    if (schema === undefined && scope.has(name)) return
    found.relations.push({ rangeVar, schema, name, table: catalog.lookup(schema, name), target })
  }

  function note(body: Ast, key: string, scope: ReadonlySet<string>): void {
    switch (key) {
      case 'RangeVar':
        addRelation(body, scope, false)
        return
      case 'FuncCall': {
        const names = namesOf(body.funcname as Ast[])
        const name = names[names.length - 1] ?? ''
        const info = lookupCall(catalog, names)
        found.functions.push({
          name,
          info,
          placement: placementOf(info, name),
          call: body,
        })
        if (body.over !== undefined) found.windows = true
        else if (
          info?.aggregate === true ||
          body.agg_star === true ||
          body.agg_filter !== undefined ||
          body.agg_distinct === true
        ) {
          found.aggregates = true
        }
        return
      }
      case 'SubLink':
        found.subqueries = true
        return
      case 'RangeSubselect':
        found.subqueries = true
        return
      case 'SelectStmt':
      case 'larg':
      case 'rarg':
        if (body.intoClause !== undefined) found.into = true
        if (body.lockingClause !== undefined) found.locking = true
        if (body.groupClause !== undefined) found.groupBy = true
        return
      case 'CurrentOfExpr':
        found.currentOf = true
        return
      case 'SQLValueFunction':
        found.stableValues = true
        return
      case 'ParamRef':
        found.params = true
        return
      case 'ColumnRef': {
        const fields = body.fields as Ast[]
        const last = fields[fields.length - 1]?.String?.sval as string | undefined
        if (last !== undefined && SYSTEM_COLUMNS.has(last)) found.systemColumns.push(last)
        return
      }
      default:
        if (AGGREGATE_NODES.has(key)) found.aggregates = true
    }
  }
}
