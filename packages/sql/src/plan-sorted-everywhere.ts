/**
 * SELECT … FROM gp_dist_random('…') ORDER BY …: the functions run on the segments, so the rows are made there; the coordinator only puts them
 * in order. What it sorts by must be columns of the result.
 */
import type { Ast } from './ast.ts'
import { tableOf, type PlanContext } from './context.ts'
import { temporaryTable, gatherStep } from './gather-step.ts'
import { quoteIdentifier } from './lex/identifiers.ts'
import { tokenize } from './lex/tokens.ts'
import type { GatheredPlan } from './plan.ts'

/** What the coordinator does with the rows. */
const AFTERWARDS = new Set(['sortClause', 'limitCount', 'limitOffset', 'limitOption'])

/** Undefined when it is no such statement. `runsThere`: whether segments can answer a SELECT row by row. */
export function planSortedEverywhere(
  context: PlanContext,
  runsThere: (select: Ast) => boolean,
): GatheredPlan | undefined {
  const { body } = context.statement
  const rest: Ast = Object.fromEntries(Object.entries(body).filter(([clause]) => !AFTERWARDS.has(clause)))
  const [from, ...others] = (rest.fromClause ?? []) as Ast[]
  const range = from?.RangeVar as Ast | undefined
  if (!context.everywhere || body.sortClause === undefined || range === undefined || others.length > 0)
    return undefined
  if (!runsThere(rest)) return undefined
  const table = tableOf(context, range)
  const at = orderBy(context.sql)
  if (table === undefined || at === undefined) return undefined
  const rows = context.sql.slice(0, at).trimEnd()
  const alias = quoteIdentifier((range.alias?.aliasname ?? range.relname) as string)
  return {
    kind: 'gathered',
    steps: [gatherStep(1, { table, from: 'all', like: rows, rows })],
    sql: `SELECT * FROM ${temporaryTable(1)} AS ${alias} ${context.sql.slice(at)}`,
  }
}

/** Where the ORDER BY of the statement itself begins. */
function orderBy(sql: string): number | undefined {
  let depth = 0
  let found: number | undefined
  for (const token of tokenize(sql)) {
    const text = sql.slice(token.start, token.end).toLowerCase()
    if (token.kind === 'mark' && (text === '(' || text === '[')) depth += 1
    else if (token.kind === 'mark' && (text === ')' || text === ']')) depth -= 1
    else if (token.kind === 'word' && text === 'order' && depth === 0) found = token.start
  }
  return found
}
