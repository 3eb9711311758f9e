/**
 * The part of a WHERE clause that may run on the segments before rows are gathered: AND-ed conditions of the outermost SELECT over the
 * columns of one table, constants, parameters and functions that give the same anywhere.
 */
import { namesOf, walk, type Ast } from './ast.ts'
import { lookupCall, placementOf } from './analysis/functions.ts'
import type { RelationUse } from './analysis/survey.ts'
import type { PlanContext } from './context.ts'
import { Refusal } from './errors.ts'
import { tokenize } from './lex/tokens.ts'
import { parseStatements } from './parse.ts'

/**
 * Text of the whole WHERE clause if all of it may run on the segments, else undefined. Only for a SELECT FROM one table and nothing else:
 * then the text of the clause can be taken as it stands.
 */
export function pushableFilter(context: PlanContext, use: RelationUse): string | undefined {
  const { statement, survey } = context
  const select = statement.body
  if (statement.kind !== 'SelectStmt' || select.whereClause === undefined || survey.ctes) return undefined
  const from = (select.fromClause ?? []) as Ast[]
  if (from.length !== 1 || from[0]?.RangeVar !== use.rangeVar || use.rangeVar.alias?.colnames !== undefined)
    return undefined
  // `schema.table.column` would not find its schema behind the alias.
  if (!isPlain(context, select.whereClause as Ast)) return undefined
  const text = whereText(context)
  return text !== undefined && meansTheSame(text, select.whereClause as Ast) ? text : undefined
}

/** The text was cut by tokens: believe it only if the parser reads the same condition from it. */
function meansTheSame(text: string, condition: Ast): boolean {
  try {
    const parsed = parseStatements(`SELECT WHERE ${text}`)[0]?.body.whereClause as unknown
    return withoutPositions(parsed) === withoutPositions(condition)
  } catch (error) {
    if (error instanceof Refusal) return false
    throw error
  }
}

function withoutPositions(tree: unknown): string {
  return JSON.stringify(tree, (key, value: unknown) =>
    /location|^list_(start|end)$/.test(key) ? undefined : value,
  )
}

function isPlain(context: PlanContext, condition: Ast): boolean {
  let plain = true
  walk(condition, (body, key) => {
    if (key === 'SubLink' || key === 'CurrentOfExpr' || key === 'SQLValueFunction' || key === 'GroupingFunc')
      plain = false
    if (key === 'ColumnRef' && namesOf(body.fields as Ast[]).length > 2) plain = false
    if (key === 'TypeCast' && namesOf(body.typeName?.names as Ast[]).some((name) => name.startsWith('reg')))
      plain = false
    if (key === 'FuncCall') {
      const names = namesOf(body.funcname as Ast[])
      if (placementOf(lookupCall(context.catalog, names), names[names.length - 1] ?? '') !== 'constant')
        plain = false
    }
    return plain
  })
  return plain
}

const CLAUSE_AFTER_WHERE = new Set([
  'group',
  'having',
  'window',
  'order',
  'limit',
  'offset',
  'fetch',
  'for',
  'union',
  'intersect',
  'except',
])

/** Text between WHERE and the next clause, by tokens outside parentheses. */
function whereText(context: PlanContext): string | undefined {
  const { sql } = context
  let depth = 0
  let start = -1
  let end = sql.length
  for (const token of tokenize(sql)) {
    const text = sql.slice(token.start, token.end)
    if (token.kind === 'mark' && (text === '(' || text === '[')) depth++
    else if (token.kind === 'mark' && (text === ')' || text === ']')) depth--
    // A statement in parentheses, or one inside another: leave it alone.
    if (depth < 0) return undefined
    if (depth !== 0 || token.kind !== 'word') continue
    const word = text.toLowerCase()
    if (start < 0 && word === 'where') start = token.end
    else if (start >= 0 && CLAUSE_AFTER_WHERE.has(word)) {
      end = token.start
      break
    }
  }
  // A comment at the end would swallow what follows it.
  return start < 0 ? undefined : `(${sql.slice(start, end).trim()}\n)`
}
