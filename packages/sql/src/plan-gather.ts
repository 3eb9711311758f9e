/**
 * Kind 4, gathered: the tables (the columns that are needed, the rows that a plain filter leaves) are copied into temporary tables of the
 * coordinator, and the statement runs there over them. Slow and always right.
 */
import { namesOf, walk, type Ast } from './ast.ts'
import { aliasOf, type RelationUse } from './analysis/survey.ts'
import type { TableInfo } from './catalog.ts'
import { isPartitioned, type PlanContext } from './context.ts'
import { notSupported } from './errors.ts'
import { gatherStep, temporaryTable } from './gather-step.ts'
import { applyEdits, type Edit } from './lex/edits.ts'
import { qualifiedName, quoteIdentifier } from './lex/identifiers.ts'
import { segmentIdColumn, starEdits, withSegmentId } from './segment-column.ts'
import { pushableFilter } from './pushable-filter.ts'
import type { GatheredPlan, GatherStep } from './plan.ts'
import { replaceRelations } from './relation-names.ts'

/** Plans a SELECT (or the SELECT inside another statement) over gathered tables. */
export function planGathered(context: PlanContext): GatheredPlan {
  const { steps, edits } = gatherRelations(context)
  return { kind: 'gathered', steps, sql: applyEdits(context.sql, edits) }
}

/** Steps for all distributed tables that the statement reads, and the edits that make it read the temporary tables. */
export function gatherRelations(context: PlanContext): { steps: GatherStep[]; edits: Edit[] } {
  const { survey } = context
  if (survey.locking) {
    throw notSupported(
      'FOR UPDATE and FOR SHARE are not supported for rows that are gathered from several segments',
      'Lock rows with a SELECT whose WHERE gives the distribution key.',
    )
  }
  refuseSystemColumns(context)
  refuseOnSegments(context)
  const uses = survey.relations.filter((use) => !use.target && use.table?.policy !== undefined)
  const tables = [...new Map(uses.map((use) => [use.table?.oid, use.table as TableInfo])).values()]
  const longer = withSegmentId(context, tables)
  const steps = tables.map((table, index) => gatherTable(context, table, index + 1, longer.has(table.oid)))
  const edits = replaceRelations(context, uses, (use) => {
    const index = tables.findIndex((table) => table.oid === use.table?.oid)
    return temporaryTable(index + 1)
  })
  return { steps, edits: [...edits, ...starEdits(context, longer)] }
}

/** With gp_dist_random a function is meant to run on the segments, and here it would run on the coordinator. */
function refuseOnSegments(context: PlanContext): void {
  const use = context.survey.functions.find(({ placement }) => placement === 'coordinator')
  if (!context.everywhere || use === undefined) return
  throw notSupported(
    `${use.name} cannot be combined with aggregates, subqueries or other tables over gp_dist_random`,
    "Run it alone: SELECT gp_segment_id, … FROM gp_dist_random('gp_id').",
  )
}

export function refuseSystemColumns(context: PlanContext): void {
  const [column] = context.survey.systemColumns
  if (column !== undefined) {
    throw notSupported(
      `system column ${column} means nothing across segments`,
      'Use the primary key; a query that gives the distribution key may read ctid and xmin.',
    )
  }
}

function gatherTable(
  context: PlanContext,
  table: TableInfo,
  index: number,
  hasSegmentId: boolean,
): GatherStep {
  const uses = context.survey.relations.filter((use) => !use.target && use.table?.oid === table.oid)
  const columns = neededColumns(context, table, uses, hasSegmentId)
  const segmentId = hasSegmentId ? [segmentIdColumn] : []
  // The columns of PostgreSQL's own catalogs are not known here.
  const known = table.columns.length === 0 ? ['*'] : columns.map(quoteIdentifier)
  const list = [...known, ...segmentId].join(', ')
  const source = qualifiedName(table)
  const filter = uses.length === 1 ? pushableFilter(context, uses[0] as RelationUse) : undefined
  const primary = context.survey.groupBy ? table.uniqueIndexes.find((unique) => unique.primary) : undefined
  // GROUP BY a primary key makes the other columns of the table available: the copy needs the key too.
  const key =
    primary !== undefined && primary.columns.every((column) => columns.includes(column))
      ? {
          andThen: `ALTER TABLE ${temporaryTable(index)} ADD PRIMARY KEY (${primary.columns.map(quoteIdentifier).join(', ')})`,
        }
      : {}
  const alias = uses.length === 1 ? ` AS ${quoteIdentifier(aliasOf(uses[0] as RelationUse))}` : ''
  const where = filter === undefined ? '' : ` WHERE ${filter}`
  return gatherStep(index, {
    table,
    from: isPartitioned(table) ? 'all' : 'any',
    like: `SELECT ${list} FROM ${source}`,
    rows: `SELECT ${list} FROM ${source}${alias}${where}`,
    ...key,
  })
}

/** Columns whose name occurs anywhere in the statement; all of them as soon as a star, a whole row or a renaming is in sight. */
function neededColumns(
  context: PlanContext,
  table: TableInfo,
  uses: readonly RelationUse[],
  hasSegmentId: boolean,
): string[] {
  const all = table.columns.map((column) => column.name)
  const words = new Set<string>()
  let everything = uses.some((use) => use.rangeVar.alias?.colnames !== undefined)
  const rowNames = new Set(uses.map(aliasOf))
  walk(context.statement.body, (body, key) => {
    if (key === 'A_Star' || body.isNatural === true) everything = true
    if (key === 'ColumnRef') {
      const names = namesOf(body.fields as Ast[])
      if (names.some((name) => rowNames.has(name)) && rowNames.has(names[names.length - 1] ?? ''))
        everything = true
      for (const word of names) words.add(word)
    }
    for (const word of namesOf(Array.isArray(body.usingClause) ? (body.usingClause as Ast[]) : []))
      words.add(word)
    return !everything
  })
  const needed = all.filter((name) => words.has(name))
  const primary = context.survey.groupBy
    ? (table.uniqueIndexes.find((unique) => unique.primary)?.columns ?? [])
    : []
  for (const name of primary) if (all.includes(name) && !needed.includes(name)) needed.push(name)
  // A copy without columns would lose the number of rows.
  return everything ? all : needed.length > 0 || hasSegmentId ? needed : all.slice(0, 1)
}
