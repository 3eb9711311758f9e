/**
 * COPY FROM STDIN and COPY TO STDOUT of distributed tables, in text and CSV format. Rows pass through as bytes.
 */
import { kindOf, namesOf, type Ast } from './ast.ts'
import type { ColumnInfo, DistributionPolicy, TableInfo } from './catalog.ts'
import { copyOptionsText, DEFAULT_COPY_OPTIONS, readCopyOptions } from './copy/copy-options.ts'
import { distributedTables, makeContext, checkNames, tableOf, type PlanContext } from './context.ts'
import { notSupported, Refusal } from './errors.ts'
import { qualifiedName, quoteIdentifier } from './lex/identifiers.ts'
import { tokenize } from './lex/tokens.ts'
import { parseStatements } from './parse.ts'
import type { CopyInPlan, CopyOptions, CopyOutPlan, Plan } from './plan.ts'
import { coordinatorPlan, planSelect } from './plan-select.ts'
import { refuseViews } from './plan-write.ts'

export function planCopy(context: PlanContext): Plan {
  const body = context.statement.body
  if (body.filename !== undefined || body.is_program === true) {
    throw notSupported(
      'COPY from or to a file or program of the server is not supported',
      'Use COPY … FROM STDIN or TO STDOUT; in psql: \\copy.',
    )
  }
  checkNames(context)
  if (body.query !== undefined) return planCopyQuery(context, body)
  refuseViews(context)
  if (distributedTables(context).length === 0) return coordinatorPlan(context, body.is_from === true, false)
  const table = tableOf(context, body.relation as Ast)
  if (table?.policy === undefined)
    throw new Refusal('42P01', `relation "${body.relation?.relname}" is not a table`)
  const options = readCopyOptions((body.options ?? []) as Ast[])
  const columns = body.attlist === undefined ? ungenerated(table) : namesOf(body.attlist as Ast[])
  const unknown = columns.find((name) => !table.columns.some((column) => column.name === name))
  if (unknown !== undefined)
    throw new Refusal('42703', `column "${unknown}" of relation "${table.name}" does not exist`)
  return body.is_from === true
    ? planCopyIn(table, table.policy, columns, options, body)
    : planCopyOut(table, columns, options)
}

/** COPY FROM in the engine's text format of complete rows: for rows that come from the engine itself. */
export function copyInOf(
  table: TableInfo,
  policy: DistributionPolicy,
  columns: readonly string[],
): CopyInPlan {
  return buildCopyIn(table, policy, columns, DEFAULT_COPY_OPTIONS)
}

function planCopyIn(
  table: TableInfo,
  policy: DistributionPolicy,
  columns: readonly string[],
  options: CopyOptions,
  body: Ast,
): CopyInPlan {
  if (body.whereClause !== undefined) {
    throw notSupported(
      'COPY FROM … WHERE is not supported for distributed tables',
      'Load the rows and DELETE, or filter before loading.',
    )
  }
  const plan = buildCopyIn(table, policy, columns, options)
  const missing = table.columns.filter((column) => !columns.includes(column.name))
  if (!missing.some((column) => needsCoordinator(column, policy))) return plan
  // Defaults are drawn on the coordinator, whose own table is empty: rows go through it and come out complete.
  const all = ungenerated(table)
  const list = all.map(quoteIdentifier).join(', ')
  const complete = buildCopyIn(table, policy, all, DEFAULT_COPY_OPTIONS)
  const readSql = `COPY ${qualifiedName(table)} (${list}) TO STDOUT`
  return { ...plan, evaluate: { copySql: plan.segmentSql, readSql, then: complete } }
}

function needsCoordinator(column: ColumnInfo, policy: DistributionPolicy): boolean {
  if (column.fill === 'volatile' || column.fill === 'identity') return true
  if (policy.kind === 'replicated' && column.fill === 'stable') return true
  return policy.kind === 'hash' && policy.columns.includes(column.name) && column.fill !== undefined
}

function buildCopyIn(
  table: TableInfo,
  policy: DistributionPolicy,
  columns: readonly string[],
  options: CopyOptions,
): CopyInPlan {
  const key = policy.kind === 'hash' ? policy.columns : []
  const list = columns.map(quoteIdentifier).join(', ')
  return {
    kind: 'copyIn',
    table,
    policy,
    columns,
    options,
    keyFields: key.map((name) => columns.indexOf(name)),
    keyTypes: key.map((name) => table.columns.find((column) => column.name === name)?.type ?? 'unknown'),
    segmentSql: `COPY ${qualifiedName(table)} (${list}) FROM STDIN${copyOptionsText({ ...options, header: false }, true)}`,
  }
}

function planCopyOut(table: TableInfo, columns: readonly string[], options: CopyOptions): CopyOutPlan {
  const source = `${qualifiedName(table)} (${columns.map(quoteIdentifier).join(', ')})`
  return {
    kind: 'copyOut',
    from: table.policy?.kind === 'replicated' ? 'any' : 'all',
    segmentSql: `COPY ${source} TO STDOUT${copyOptionsText(options, false)}`,
    headerlessSql: `COPY ${source} TO STDOUT${copyOptionsText({ ...options, header: false }, false)}`,
    gather: [],
  }
}

/** COPY (query) TO STDOUT: pushed down or gathered as the query would be. */
function planCopyQuery(context: PlanContext, body: Ast): Plan {
  const kind = kindOf(body.query as Ast)
  if (
    distributedTables(context).length === 0 &&
    !context.survey.relations.some((use) => use.table?.viewTouchesDistributed === true)
  ) {
    return coordinatorPlan(context, kind !== 'SelectStmt', false)
  }
  if (kind !== 'SelectStmt')
    throw notSupported(
      'COPY of an INSERT, UPDATE or DELETE of distributed tables is not supported',
      'Use RETURNING.',
    )
  const options = readCopyOptions((body.options ?? []) as Ast[])
  const text = queryText(context.sql)
  const inner = parseStatements(text)[0]
  if (inner === undefined) throw new Refusal('42601', 'COPY needs a query')
  const plan = planSelect(makeContext(inner, context.catalog, [], context))
  const sqlOf = (query: string, header: CopyOptions['header']) =>
    `COPY (${query}\n) TO STDOUT${copyOptionsText({ ...options, header }, false)}`
  if (plan.kind === 'pushdown') {
    return {
      kind: 'copyOut',
      from: plan.oneContentOnly ? 'any' : 'all',
      segmentSql: sqlOf(text, options.header),
      headerlessSql: sqlOf(text, false),
      gather: [],
    }
  }
  // One content would do for a direct query; every content gives the same rows.
  if (plan.kind === 'direct') {
    const gathered = { kind: 'copyOut', from: 'all', gather: [] } as const
    if (!returnsOnlyMatches(inner.body))
      throw notSupported(
        'COPY of this query is not supported',
        'Run the SELECT itself, or give no distribution key.',
      )
    return { ...gathered, segmentSql: sqlOf(text, options.header), headerlessSql: sqlOf(text, false) }
  }
  if (plan.kind !== 'gathered')
    throw notSupported('COPY of this query is not supported', 'Run the SELECT itself.')
  const segmentSql = sqlOf(plan.sql, options.header)
  return { kind: 'copyOut', from: 'coordinator', segmentSql, headerlessSql: segmentSql, gather: plan.steps }
}

/** The query gives no row on a content that holds no matching row (an aggregate would give one). */
function returnsOnlyMatches(select: Ast): boolean {
  return (
    select.groupClause === undefined &&
    select.havingClause === undefined &&
    !JSON.stringify(select.targetList ?? []).includes('"FuncCall"')
  )
}

function queryText(sql: string): string {
  const tokens = tokenize(sql)
  const open = tokens.findIndex((token) => sql.slice(token.start, token.end) === '(')
  let depth = 0
  for (const token of tokens.slice(open)) {
    const mark = sql.slice(token.start, token.end)
    if (mark === '(') depth++
    else if (mark === ')' && --depth === 0) return sql.slice((tokens[open]?.end ?? 0) as number, token.start)
  }
  throw new Refusal('42601', 'COPY needs a query in parentheses')
}

function ungenerated(table: TableInfo): string[] {
  return table.columns.filter((column) => column.fill !== 'generated').map((column) => column.name)
}
