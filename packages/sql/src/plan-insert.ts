/**
 * INSERT. Rows whose place follows from the text (constants and parameters in the key columns) are forwarded, split by content if need be;
 * all others are evaluated once on the coordinator, whose own copy of the table is empty, and placed from there.
 */
import type { Ast } from './ast.ts'
import { bindConstant } from './analysis/constants.ts'
import type { ColumnInfo, DistributionPolicy, TableInfo } from './catalog.ts'
import { distributedTables, checkNames, tableOf, type PlanContext } from './context.ts'
import { notSupported } from './errors.ts'
import { insertRowRanges } from './insert-text.ts'
import type { KeyPart, Plan } from './plan.ts'
import { planEvaluatedInsert } from './plan-insert-evaluated.ts'
import { coordinatorPlan } from './plan-select.ts'
import { refuseDrawnDefaults, refuseKeyChange, refuseViews } from './plan-write.ts'

export function planInsert(context: PlanContext): Plan {
  const { statement, survey } = context
  const body = statement.body
  const returnsRows = body.returningClause !== undefined || body.returningList !== undefined
  checkNames(context)
  refuseViews(context)
  if (distributedTables(context).length === 0) return coordinatorPlan(context, true, returnsRows)
  const table = tableOf(context, body.relation as Ast)
  if (table?.policy === undefined) {
    throw notSupported(
      'INSERT into a coordinator table from distributed tables is not supported',
      'Create the table with a DISTRIBUTED clause.',
    )
  }
  if (survey.dataModifyingCte) {
    throw notSupported(
      'INSERT, UPDATE, DELETE and MERGE inside WITH are not supported for distributed tables',
      'Run them as statements of their own, in one transaction.',
    )
  }
  refuseTail(context, body, table, table.policy)
  const columns = targetColumns(table, body)
  const rows = columns === undefined ? undefined : placeRows(context, table, table.policy, columns)
  if (rows === undefined) return planEvaluatedInsert(context, table, table.policy, returnsRows)
  const rowRanges = rows.length === 1 ? undefined : insertRowRanges(context.sql, rows.length)
  if (rows.length > 1 && rowRanges === undefined)
    return planEvaluatedInsert(context, table, table.policy, returnsRows)
  return { kind: 'insert', table, policy: table.policy, rows, rowRanges, returnsRows }
}

/** The columns that the VALUES fill, in order; undefined when a target is part of a column (`a.b`, `a[1]`). */
function targetColumns(table: TableInfo, body: Ast): readonly ColumnInfo[] | undefined {
  if (body.cols === undefined) return table.columns
  const columns: ColumnInfo[] = []
  for (const item of body.cols as Ast[]) {
    const column = table.columns.find((candidate) => candidate.name === item.ResTarget?.name)
    if (column === undefined || item.ResTarget.indirection !== undefined) return undefined
    columns.push(column)
  }
  return columns
}

/** The key of each row, or undefined when the rows have to be evaluated first. */
function placeRows(
  context: PlanContext,
  table: TableInfo,
  policy: DistributionPolicy,
  columns: readonly ColumnInfo[],
): (readonly KeyPart[])[] | undefined {
  const { statement, survey } = context
  const values = statement.body.selectStmt?.SelectStmt as Ast | undefined
  const lists = values?.valuesLists as Ast[] | undefined
  if (values === undefined || lists === undefined || statement.body.withClause !== undefined) return undefined
  if (
    ['sortClause', 'limitCount', 'limitOffset', 'withClause', 'lockingClause'].some(
      (clause) => values[clause] !== undefined,
    )
  )
    return undefined
  if (survey.subqueries || survey.functions.some((use) => use.placement === 'coordinator')) return undefined
  const replicated = policy.kind === 'replicated'
  if (replicated && (survey.stableValues || survey.functions.some((use) => use.placement !== 'constant')))
    return undefined
  const rows: (readonly KeyPart[])[] = []
  const keyColumns = policy.kind === 'hash' ? policy.columns : []
  for (const list of lists) {
    const items = (list.List?.items ?? []) as Ast[]
    if (items.length > columns.length) return undefined
    const given = columns.slice(0, items.length)
    const filled = table.columns.filter((column) => {
      const index = given.indexOf(column)
      return index < 0 || items[index]?.SetToDefault !== undefined
    })
    if (filled.some((column) => needsCoordinator(column, replicated))) return undefined
    const key: KeyPart[] = []
    for (const name of keyColumns) {
      const part = keyPart(context, table, name, given, items)
      if (part === undefined) return undefined
      key.push(part)
    }
    rows.push(key)
  }
  return rows
}

function needsCoordinator(column: ColumnInfo, replicated: boolean): boolean {
  return column.fill === 'volatile' || column.fill === 'identity' || (replicated && column.fill === 'stable')
}

function keyPart(
  context: PlanContext,
  table: TableInfo,
  name: string,
  given: readonly ColumnInfo[],
  items: readonly Ast[],
): KeyPart | undefined {
  const column = table.columns.find((candidate) => candidate.name === name)
  if (column === undefined) return undefined
  const index = given.indexOf(column)
  const item = items[index]
  if (index < 0 || item === undefined || item.SetToDefault !== undefined) {
    return column.fill === undefined ? { source: 'constant', text: null, type: column.type } : undefined
  }
  return bindConstant(item, column.type, true, context)
}

/** ON CONFLICT and RETURNING run on the segments. */
function refuseTail(context: PlanContext, body: Ast, table: TableInfo, policy: DistributionPolicy): void {
  const conflict = body.onConflictClause as Ast | undefined
  const targets = (conflict?.targetList ?? []) as Ast[]
  refuseKeyChange(policy, targets, 'ON CONFLICT DO UPDATE')
  refuseDrawnDefaults(table, targets, 'ON CONFLICT DO UPDATE')
  const tail = { conflict, returning: body.returningClause ?? body.returningList }
  const limits = context.tailLimits(tail)
  if (limits.coordinatorFunction !== undefined) {
    throw notSupported(
      `function ${limits.coordinatorFunction} runs on the coordinator and cannot be used in ON CONFLICT or RETURNING of a distributed table`,
      'Call it with a SELECT of its own.',
    )
  }
  if (limits.subqueries) {
    throw notSupported(
      'subqueries in ON CONFLICT or RETURNING of a distributed table are not supported',
      'Run the subquery first.',
    )
  }
  if (policy.kind === 'replicated' && limits.differing) {
    throw notSupported(
      'ON CONFLICT of a replicated table may use only immutable functions: its copies would differ',
      'Give the value as a constant.',
    )
  }
}
