/**
 * The column gp_segment_id of rows that are gathered: the copy of a table gets it when the statement names it. `*` must not show it, as it does
 * not where rows stay.
 */
import { namesOf, walk, type Ast } from './ast.ts'
import { aliasOf } from './analysis/survey.ts'
import type { TableInfo } from './catalog.ts'
import { tableOf, type PlanContext } from './context.ts'
import { notSupported } from './errors.ts'
import type { Edit } from './lex/edits.ts'
import { quoteIdentifier } from './lex/identifiers.ts'
import { tokenize } from './lex/tokens.ts'
import { SEGMENT_ID } from './segment-names.ts'

/** What a segment puts into it. */
export const segmentIdColumn = `pg_catalog.gp_execution_segment() AS ${SEGMENT_ID}`

/** Of these tables those (by oid) of which the statement names the column: their copies have it. */
export function withSegmentId(context: PlanContext, tables: readonly TableInfo[]): ReadonlySet<number> {
  return new Set(tables.filter((table) => isNamed(context, table)).map(({ oid }) => oid))
}

/** The statement names this column of the table, which has none of its own. */
function isNamed(context: PlanContext, table: TableInfo): boolean {
  if (table.columns.some((column) => column.name === SEGMENT_ID)) return false
  const aliases = new Set(
    context.survey.relations.filter((use) => !use.target && use.table?.oid === table.oid).map(aliasOf),
  )
  let found = false
  walk(context.statement.body, (body, key) => {
    if (key === 'ColumnRef') {
      const names = namesOf(body.fields as Ast[])
      if (names.at(-1) === SEGMENT_ID && aliases.has(names.at(-2) ?? '')) found = true
    }
    return !found
  })
  return found
}

/** Names the columns in place of `*` and `table.*` for tables whose copy is `longer`. Throws 0A000 for what would show the column otherwise. */
export function starEdits(context: PlanContext, longer: ReadonlySet<number>): Edit[] {
  if (longer.size === 0) return []
  const edits: Edit[] = []
  walk(context.statement.body, (body, key) => {
    if (key === 'JoinExpr' && body.isNatural === true) refuse()
    const from = body.fromClause as Ast[] | undefined
    if (from === undefined) return true
    const level = levelOf(context, from)
    if (!level.sources.some(({ table }) => longer.has(table.oid))) return true
    const stars = new Set<Ast>()
    for (const item of (body.targetList ?? []) as Ast[]) {
      const column = item.ResTarget?.val?.ColumnRef as Ast | undefined
      if (column === undefined || !isStar(column)) continue
      stars.add(column)
      edits.push(...starEdit(context, column, level, longer))
    }
    walk(body, (inner, kind) => {
      if (kind === 'ColumnRef' && !stars.has(inner)) refuseWholeRow(inner, level, longer)
      return true
    })
    return true
  })
  return edits
}

interface Level {
  readonly sources: readonly { readonly alias: string; readonly table: TableInfo }[]
  /** What `*` means is more than the columns of the tables, one after the other. */
  readonly mixed: boolean
}

function levelOf(context: PlanContext, from: readonly Ast[]): Level {
  const sources: Level['sources'][number][] = []
  let mixed = false
  const add = (item: Ast): void => {
    const join = item.JoinExpr as Ast | undefined
    if (join !== undefined) {
      mixed ||= join.usingClause !== undefined || join.alias !== undefined
      add(join.larg as Ast)
      add(join.rarg as Ast)
      return
    }
    const range = item.RangeVar as Ast | undefined
    const table = range === undefined ? undefined : tableOf(context, range)
    if (range === undefined || table === undefined) mixed = true
    else {
      mixed ||= range.alias?.colnames !== undefined || table.columns.length === 0
      sources.push({ alias: (range.alias?.aliasname ?? range.relname) as string, table })
    }
  }
  from.forEach(add)
  return { sources, mixed }
}

function starEdit(context: PlanContext, column: Ast, level: Level, longer: ReadonlySet<number>): Edit[] {
  const alias = namesOf(column.fields as Ast[]).at(-2)
  const meant = alias === undefined ? level.sources : level.sources.filter((source) => source.alias === alias)
  if (!meant.some(({ table }) => longer.has(table.oid))) return []
  if (level.mixed) refuse()
  const tokens = tokenize(context.sql)
  const start = context.at(column.location as number | undefined)
  const end = tokens[tokens.findIndex((token) => token.start === start) + (column.fields.length - 1) * 2]?.end
  if (end === undefined) throw new RangeError(`no star at ${start}`)
  const names = meant.flatMap((source) =>
    source.table.columns.map(({ name }) => `${quoteIdentifier(source.alias)}.${quoteIdentifier(name)}`),
  )
  return [{ start, end, text: names.join(', ') }]
}

/** A whole row, `t` or `t.*` inside an expression, would have the column more. */
function refuseWholeRow(column: Ast, { sources }: Level, longer: ReadonlySet<number>): void {
  const names = namesOf(column.fields as Ast[])
  const row = isStar(column) ? names.at(-2) : names.length === 1 ? names[0] : undefined
  if (sources.some(({ alias, table }) => alias === row && longer.has(table.oid))) refuse()
}

function isStar(column: Ast): boolean {
  return (column.fields as Ast[]).at(-1)?.A_Star !== undefined
}

function refuse(): never {
  throw notSupported(
    `${SEGMENT_ID} beside whole rows or joined columns is not supported`,
    'Name the columns that you want.',
  )
}
