/**
 * SELECT: direct, pushed down, or gathered, tried in this order (sql.md §5). Tables that live on the coordinator alone make it run there.
 */
import type { Ast } from './ast.ts'
import { placeJoin } from './analysis/join-tree.ts'
import { isPartitioned, makeContext, checkNames, tableOf, type PlanContext } from './context.ts'
import { notSupported } from './errors.ts'
import { applyEdits } from './lex/edits.ts'
import { quoteIdentifier } from './lex/identifiers.ts'
import { parseStatements } from './parse.ts'
import type { CoordinatorPlan, Plan } from './plan.ts'
import { planGathered } from './plan-gather.ts'
import { planSizes } from './plan-sizes.ts'
import { planSortedEverywhere } from './plan-sorted-everywhere.ts'
import { replaceRelations } from './relation-names.ts'
import { sessionFunctionAction } from './session-functions.ts'
import { setConfigAction } from './set-config.ts'

const MAX_VIEW_DEPTH = 16

export function planSelect(context: PlanContext): Plan {
  const { survey, statement } = context
  const action = setConfigAction(context) ?? sessionFunctionAction(context)
  if (action !== undefined) return { kind: 'session', action }
  checkNames(context)
  if (survey.into) throw notSupported('SELECT INTO is not supported', 'Use CREATE TABLE … AS SELECT ….')
  if (survey.relations.some((use) => use.table?.viewTouchesDistributed === true))
    return planThroughViews(context)
  if (!survey.relations.some((use) => use.table?.policy !== undefined))
    return planSizes(context) ?? coordinatorPlan(context, survey.dataModifyingCte)
  if (survey.dataModifyingCte) {
    throw notSupported(
      'INSERT, UPDATE, DELETE and MERGE inside WITH are not supported for distributed tables',
      'Run them as statements of their own, in one transaction.',
    )
  }
  return (
    planOnOneContent(context) ??
    planPushdown(context, statement.body) ??
    planSortedEverywhere(context, (rest) => planPushdown(context, rest) !== undefined) ??
    planGathered(context)
  )
}

export function coordinatorPlan(context: PlanContext, write: boolean, returnsRows = true): CoordinatorPlan {
  const { relations, functions } = context.survey
  const volatile = functions.some((use) => use.info === undefined || use.info.volatility === 'volatile')
  return {
    kind: 'coordinator',
    write: write || volatile || context.survey.locking,
    returnsRows,
    relations: relations.map((use) => use.name),
    functions: functions.map((use) => use.name),
  }
}

/** Direct, or any one content when all tables are replicated. */
function planOnOneContent(context: PlanContext): Plan | undefined {
  const { survey, statement } = context
  const onCoordinator = survey.relations.some((use) => use.table?.policy === undefined)
  if (onCoordinator || survey.functions.some((use) => use.placement === 'coordinator')) return undefined
  const partitioned = survey.relations.filter((use) => isPartitioned(use.table))
  if (survey.systemColumns.includes('tableoid')) return undefined
  if (partitioned.length === 0) {
    if (survey.locking) return undefined
    return { kind: 'pushdown', write: false, returnsRows: true, oneContentOnly: true, answerOfOne: false }
  }
  const select = statement.body
  const from = (select.fromClause ?? []) as Ast[]
  // Every spread table must stand in this FROM clause, not in a subquery.
  if (!partitioned.every((use) => isBelowJoins(from, use.rangeVar))) return undefined
  const placed = placeJoin(
    from,
    select.whereClause as Ast | undefined,
    (rangeVar) => tableOf(context, rangeVar),
    context,
  )
  if (placed?.key === undefined) return undefined
  return { kind: 'direct', write: survey.locking, returnsRows: true, key: placed.key }
}

/** Scan, filter, projection and co-located joins; UNION ALL of such. */
function planPushdown(context: PlanContext, select: Ast): Plan | undefined {
  const { survey } = context
  if (
    survey.subqueries ||
    survey.aggregates ||
    survey.windows ||
    survey.ctes ||
    survey.systemColumns.length > 0
  )
    return undefined
  if (!context.everywhere && survey.functions.some((use) => use.placement === 'coordinator')) return undefined
  if (!isPushable(context, select)) return undefined
  return {
    kind: 'pushdown',
    write: survey.locking,
    returnsRows: true,
    oneContentOnly: false,
    answerOfOne: false,
  }
}

const ROW_BY_ROW_ENDS = [
  'distinctClause',
  'groupClause',
  'havingClause',
  'windowClause',
  'sortClause',
  'limitCount',
  'limitOffset',
  'valuesLists',
  'withClause',
]

function isPushable(context: PlanContext, select: Ast): boolean {
  if (ROW_BY_ROW_ENDS.some((clause) => select[clause] !== undefined)) return false
  if (select.op === 'SETOP_UNION' && select.all === true) {
    return isPushable(context, select.larg as Ast) && isPushable(context, select.rarg as Ast)
  }
  if ((select.op ?? 'SETOP_NONE') !== 'SETOP_NONE') return false
  const from = (select.fromClause ?? []) as Ast[]
  const placed = placeJoin(
    from,
    select.whereClause as Ast | undefined,
    (rangeVar) => tableOf(context, rangeVar),
    context,
  )
  // An arm without a spread table would be answered once by every content.
  return placed?.partitioned === true
}

function isBelowJoins(from: readonly Ast[], rangeVar: Ast): boolean {
  return from.some((item) => {
    if (item.RangeVar !== undefined) return item.RangeVar === rangeVar
    const join = item.JoinExpr as Ast | undefined
    return join !== undefined && isBelowJoins([join.larg as Ast, join.rarg as Ast], rangeVar)
  })
}

/** Views over distributed tables are replaced by their definitions, then the statement is planned anew. */
function planThroughViews(context: PlanContext): Plan {
  const views = context.survey.relations.filter((use) => use.table?.viewTouchesDistributed === true)
  if (context.depth >= MAX_VIEW_DEPTH || views.some((use) => use.table?.viewDefinition === undefined)) {
    throw notSupported(`view ${views[0]?.name ?? ''} cannot be expanded`, 'Query the tables of the view.')
  }
  if (context.survey.locking)
    throw notSupported('FOR UPDATE and FOR SHARE are not supported for views', 'Lock rows of the tables.')
  const edits = replaceRelations(
    context,
    views,
    (use) => `(${(use.table?.viewDefinition ?? '').replace(/;\s*$/, '')})`,
  )
  const sql = applyEdits(context.sql, edits)
  const expanded = parseStatements(sql)[0]
  if (expanded === undefined) throw notSupported('view cannot be expanded', 'Query the tables of the view.')
  const inner = makeContext(expanded, context.catalog, context.paramTypes, {
    depth: context.depth + 1,
    everywhere: context.everywhere,
  })
  const plan = planSelect(inner)
  // The other plans forward the text unchanged: it names the view, which the segments have too.
  if (plan.kind !== 'gathered' && plan.kind !== 'pushdown' && plan.kind !== 'direct') {
    throw notSupported(
      `view ${quoteIdentifier(views[0]?.name ?? '')} cannot be planned`,
      'Query the tables of the view.',
    )
  }
  // Key parts found in the definition point to its text, not to the statement's: never by shape.
  context.valueDependent = true
  return plan
}
