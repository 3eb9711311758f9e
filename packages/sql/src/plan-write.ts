/**
 * UPDATE and DELETE: direct or pushed down. A statement that would have to move rows or look at rows of other segments is refused.
 */
import type { Ast } from './ast.ts'
import { placeJoin } from './analysis/join-tree.ts'
import { distributedTables, isPartitioned, checkNames, tableOf, type PlanContext } from './context.ts'
import type { TableInfo } from './catalog.ts'
import { notSupported } from './errors.ts'
import type { Plan } from './plan.ts'
import { coordinatorPlan } from './plan-select.ts'

export function planUpdateOrDelete(context: PlanContext): Plan {
  const { statement, survey } = context
  const body = statement.body
  const verb = statement.kind === 'UpdateStmt' ? 'UPDATE' : 'DELETE'
  const returnsRows = body.returningClause !== undefined || body.returningList !== undefined
  checkNames(context)
  refuseViews(context)
  if (distributedTables(context).length === 0) return coordinatorPlan(context, true, returnsRows)
  const target = tableOf(context, body.relation as Ast)
  if (target?.policy === undefined) {
    throw notSupported(
      `${verb} of a coordinator table from distributed tables is not supported`,
      'Read the rows first, then write them.',
    )
  }
  refuseFarRows(context, verb)
  if (verb === 'UPDATE') {
    refuseKeyChange(target.policy, body.targetList as Ast[], 'UPDATE')
    refuseDrawnDefaults(target, body.targetList as Ast[], 'UPDATE')
  }
  if (target.policy.kind === 'replicated') return planReplicated(context, verb, returnsRows)
  const others = (body.fromClause ?? body.usingClause ?? []) as Ast[]
  const from = [{ RangeVar: body.relation as Ast }, ...others]
  const placed = placeJoin(
    from,
    body.whereClause as Ast | undefined,
    (rangeVar) => tableOf(context, rangeVar),
    context,
  )
  if (placed === undefined) {
    throw notSupported(
      `${verb} joins tables whose rows are on different segments`,
      'Join on all columns of the distribution keys, or read the rows first and write them by key.',
    )
  }
  if (placed.key !== undefined) return { kind: 'direct', write: true, returnsRows, key: placed.key }
  const [systemColumn] = survey.systemColumns
  if (systemColumn !== undefined) {
    throw notSupported(
      `system column ${systemColumn} means nothing across segments`,
      'Give the distribution key in WHERE.',
    )
  }
  return { kind: 'pushdown', write: true, returnsRows, oneContentOnly: false, answerOfOne: false }
}

/** MERGE touches distributed tables only by refusal. */
export function planMerge(context: PlanContext): Plan {
  checkNames(context)
  refuseViews(context)
  if (distributedTables(context).length === 0)
    return coordinatorPlan(context, true, context.statement.body.returningList !== undefined)
  throw notSupported(
    'MERGE is not supported for distributed tables',
    'Use INSERT … ON CONFLICT, or UPDATE and INSERT.',
  )
}

/** Every copy must do the same: nothing that may differ between segments. */
function planReplicated(context: PlanContext, verb: string, returnsRows: boolean): Plan {
  const { survey } = context
  refuseUnequalCopies(context, verb)
  if (survey.relations.some((use) => use.table?.policy?.kind !== 'replicated')) {
    throw notSupported(
      `${verb} of a replicated table may read only replicated tables`,
      'Read the values first, then write them.',
    )
  }
  if (survey.systemColumns.length > 0)
    throw notSupported(
      `system columns differ between the copies of a replicated table`,
      'Use the primary key.',
    )
  return { kind: 'pushdown', write: true, returnsRows, oneContentOnly: false, answerOfOne: true }
}

export function refuseUnequalCopies(context: PlanContext, verb: string): void {
  const { survey } = context
  const differing = survey.functions.find((use) => use.placement !== 'constant')
  if (differing === undefined && !survey.stableValues) return
  throw notSupported(
    `${verb} of a replicated table may not use ${differing?.name ?? 'the current time or user'}: its copies would differ`,
    'Compute the value first and give it as a constant or a parameter.',
  )
}

export function refuseViews(context: PlanContext): void {
  const view = context.survey.relations.find((use) => use.table?.viewTouchesDistributed === true)
  if (view === undefined) return
  throw notSupported(
    `view ${view.name} over distributed tables can only be read, by SELECT`,
    'Write to the tables of the view.',
  )
}

/** Everything that would need rows of other segments, or the coordinator, while the segments write. */
function refuseFarRows(context: PlanContext, verb: string): void {
  const { survey, statement } = context
  const target = statement.body.relation as Ast
  if (survey.currentOf)
    throw notSupported('WHERE CURRENT OF is not supported for distributed tables', 'Use the primary key.')
  if (survey.dataModifyingCte) {
    throw notSupported(
      'INSERT, UPDATE, DELETE and MERGE inside WITH are not supported for distributed tables',
      'Run them as statements of their own, in one transaction.',
    )
  }
  const coordinatorOnly = survey.functions.find((use) => use.placement === 'coordinator')
  if (coordinatorOnly !== undefined) {
    throw notSupported(
      `function ${coordinatorOnly.name} runs on the coordinator and cannot be used in ${verb} of a distributed table`,
      'Call it first with SELECT and give its result as a parameter.',
    )
  }
  if (survey.subqueries || survey.ctes) {
    const others = survey.relations.filter((use) => use.rangeVar !== target)
    const far = others.find((use) => use.table?.policy?.kind !== 'replicated')
    if (far !== undefined) {
      throw notSupported(
        `${verb} with a subquery over ${far.name} is not supported: its rows may be on other segments`,
        'Join co-located tables with FROM or USING, or run the subquery first.',
      )
    }
  }
  const tables = survey.relations.filter((use) => use.table?.policy === undefined)
  if (
    tables[0] !== undefined &&
    isPartitioned(survey.relations.find((use) => use.rangeVar === target)?.table)
  ) {
    throw notSupported(
      `${verb} reads ${tables[0].name}, which has no rows on the segments`,
      'Read it first and give the values.',
    )
  }
}

/** SET column = DEFAULT would draw the default on the segment. */
export function refuseDrawnDefaults(table: TableInfo, targets: readonly Ast[], verb: string): void {
  for (const { ResTarget: target } of targets) {
    if (!JSON.stringify(target.val ?? {}).includes('"SetToDefault"')) continue
    const fill = table.columns.find((column) => column.name === target.name)?.fill
    const copies = table.policy?.kind === 'replicated'
    if (fill !== 'volatile' && fill !== 'identity' && !(copies && fill === 'stable')) continue
    throw notSupported(
      `${verb} may not set column ${String(target.name)} to its default, which the coordinator has to draw`,
      'Compute the value first and give it as a constant or a parameter.',
    )
  }
}

/** Rows cannot move between segments yet. */
export function refuseKeyChange(
  policy: { readonly kind: string; readonly columns?: readonly string[] },
  targets: readonly Ast[],
  verb: string,
): void {
  if (policy.kind !== 'hash') return
  const changed = targets
    .map((item) => item.ResTarget?.name as string)
    .find((name) => policy.columns?.includes(name))
  if (changed === undefined) return
  throw notSupported(
    `${verb} may not change column ${changed} of the distribution key: the row would have to move to another segment`,
    'DELETE the row and INSERT it with the new key, in one transaction.',
  )
}
