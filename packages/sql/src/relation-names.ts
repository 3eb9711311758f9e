/**
 * Finds a relation's name in the text of its statement and replaces it, keeping the name under which the rest of the statement knows it.
 */
import { namesOf, walk, type Ast } from './ast.ts'
import type { RelationUse } from './analysis/survey.ts'
import type { PlanContext } from './context.ts'
import { quoteIdentifier } from './lex/identifiers.ts'
import { tokenize, type Token } from './lex/tokens.ts'
import type { Edit } from './lex/edits.ts'

/** Edits that make the statement read `replacement(use)` instead of each of `uses`. */
export function replaceRelations(
  context: PlanContext,
  uses: readonly RelationUse[],
  replacement: (use: RelationUse) => string,
): Edit[] {
  const tokens = tokenize(context.sql)
  const edits: Edit[] = []
  for (const use of uses) {
    const start = context.at(use.rangeVar.location as number | undefined)
    const first = tokens.findIndex((token) => token.start === start)
    if (first < 0) throw new RangeError(`no token at ${start} for relation ${use.name}`)
    const last = endOfName(context.sql, tokens, first)
    const alias = use.rangeVar.alias === undefined ? ` AS ${quoteIdentifier(use.name)}` : ''
    let end = (tokens[last] as Token).end
    // `t *` is an old way to say that children are included.
    const star = tokens[last + 1]
    if (star?.kind === 'operator' && context.sql.slice(star.start, star.end) === '*') end = star.end
    // `ONLY t` and `ONLY (t)` say the same for tables without children; a subquery takes no ONLY.
    const [before, behind] = only(context.sql, tokens, first, last)
    edits.push({ start: before ?? start, end: behind ?? end, text: replacement(use) + alias })
  }
  return [...edits, ...unqualifyColumns(context, uses, tokens)]
}

/** `schema.table.column` finds no schema any more once the table is replaced: cut the schema. */
function unqualifyColumns(
  context: PlanContext,
  uses: readonly RelationUse[],
  tokens: readonly Token[],
): Edit[] {
  const edits: Edit[] = []
  const replaced = new Set(uses.map((use) => `${use.schema ?? ''}.${use.name}`))
  walk(context.statement.body, (body, key) => {
    if (key !== 'ColumnRef') return true
    const fields = body.fields as Ast[]
    const names = namesOf(fields)
    if (fields.length >= 3 && replaced.has(`${names[0]}.${names[1]}`)) {
      const first = tokens.findIndex(
        (token) => token.start === context.at(body.location as number | undefined),
      )
      const from = tokens[first]
      const to = tokens[first + 2]
      if (from !== undefined && to !== undefined) edits.push({ start: from.start, end: to.start, text: '' })
    }
    return true
  })
  return edits
}

function endOfName(sql: string, tokens: readonly Token[], first: number): number {
  let last = first
  while (markAt(sql, tokens[last + 1]) === '.') last += 2
  return last
}

function only(
  sql: string,
  tokens: readonly Token[],
  first: number,
  last: number,
): [number | undefined, number | undefined] {
  const before = tokens[first - 1]
  if (isOnly(sql, before)) return [before?.start, undefined]
  const outer = tokens[first - 2]
  if (markAt(sql, before) === '(' && isOnly(sql, outer) && markAt(sql, tokens[last + 1]) === ')') {
    return [outer?.start, tokens[last + 1]?.end]
  }
  return [undefined, undefined]
}

function isOnly(sql: string, token: Token | undefined): boolean {
  return token?.kind === 'word' && sql.slice(token.start, token.end).toLowerCase() === 'only'
}

function markAt(sql: string, token: Token | undefined): string | undefined {
  return token?.kind === 'mark' ? sql.slice(token.start, token.end) : undefined
}
