/**
 * INSERT whose rows are evaluated on the coordinator first: serial columns, volatile defaults, expressions in the key, INSERT … SELECT. The
 * coordinator's own, empty table evaluates defaults, assignment casts, generated columns and checks exactly as PostgreSQL does.
 */
import type { DistributionPolicy, TableInfo } from './catalog.ts'
import type { PlanContext } from './context.ts'
import { copyInOf } from './plan-copy.ts'
import { returningStart } from './insert-text.ts'
import { applyEdits, type Edit } from './lex/edits.ts'
import { qualifiedName, quoteIdentifier } from './lex/identifiers.ts'
import { gatherRelations } from './plan-gather.ts'
import { notSupported } from './errors.ts'
import type { InsertEvaluatedPlan } from './plan.ts'

export function planEvaluatedInsert(
  context: PlanContext,
  table: TableInfo,
  policy: DistributionPolicy,
  returnsRows: boolean,
): InsertEvaluatedPlan {
  const { statement, sql, survey } = context
  const body = statement.body
  const values = body.selectStmt?.SelectStmt?.valuesLists !== undefined || body.selectStmt === undefined
  const { steps, edits } = survey.relations.some((use) => !use.target && use.table?.policy !== undefined)
    ? gatherRelations(context)
    : { steps: [], edits: [] as Edit[] }
  if (survey.relations.some((use) => use.table?.viewTouchesDistributed === true)) {
    throw notSupported(
      'INSERT … SELECT from a view over distributed tables is not supported',
      'Select from the tables of the view.',
    )
  }
  const columns = table.columns.filter((column) => column.fill !== 'generated').map((column) => column.name)
  const list = columns.map(quoteIdentifier).join(', ')
  const returning = returnsRows ? returningStart(sql) : -1
  if (returnsRows && returning < 0)
    throw notSupported('this RETURNING clause cannot be split off', 'Write it without it.')
  const conflict = body.onConflictClause?.location as number | undefined
  const tailStart = conflict !== undefined ? context.at(conflict) : returning
  const bodyEnd = returning < 0 ? sql.length : returning
  const alias = body.relation.alias?.aliasname as string | undefined
  const evaluated = applyEdits(
    sql.slice(0, bodyEnd),
    edits.filter((edit) => edit.end <= bodyEnd),
  )
  return {
    kind: 'insertEvaluated',
    table,
    policy,
    gather: steps,
    evaluateSql: `${evaluated.trimEnd()}\nRETURNING ${list}`,
    columns,
    load: tailStart < 0 ? 'copy' : 'insert',
    copyIn: copyInOf(table, policy, columns),
    head: `INSERT INTO ${qualifiedName(table)}${alias === undefined ? '' : ` AS ${quoteIdentifier(alias)}`} (${list}) OVERRIDING SYSTEM VALUE VALUES `,
    tail: tailStart < 0 ? '' : sql.slice(tailStart),
    returnsRows,
    manyRows: !values,
  }
}
