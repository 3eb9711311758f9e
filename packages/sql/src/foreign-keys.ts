/**
 * FOREIGN KEY is accepted and not enforced, with a WARNING (sql.md §4, as in Greenplum): each such constraint gets NOT ENFORCED, which PostgreSQL 18 knows.
 */
import { walk, type Ast } from './ast.ts'
import type { PlanContext } from './context.ts'
import type { Edit } from './lex/edits.ts'
import { tokenize } from './lex/tokens.ts'
import type { PlanNotice } from './plan.ts'

const WARNING: PlanNotice = {
  severity: 'WARNING',
  code: '01000',
  message:
    'referential integrity (FOREIGN KEY) constraints are not supported across segments, will not be enforced',
}

/** Edits that add NOT ENFORCED to every foreign key of the statement, and the warning if there is one. */
export function enforceNoForeignKeys(context: PlanContext): { edits: Edit[]; notices: PlanNotice[] } {
  const starts: number[] = []
  const foreign: { start: number; enforced: boolean }[] = []
  walk(context.statement.body, (body, key) => {
    if (key !== 'Constraint') return true
    const start = context.at((body as Ast).location as number | undefined)
    starts.push(start)
    if (body.contype === 'CONSTR_FOREIGN') foreign.push({ start, enforced: body.is_enforced === true })
    return true
  })
  const edits = foreign
    .filter((constraint) => constraint.enforced)
    .map((constraint) => {
      const end = endOfConstraint(context.sql, constraint.start, starts)
      return { start: end, end, text: ' NOT ENFORCED' }
    })
  return { edits, notices: foreign.length > 0 ? [WARNING] : [] }
}

/** The constraint ends where the next constraint of its column begins, or at a comma or parenthesis outside its own parentheses. */
function endOfConstraint(sql: string, start: number, starts: readonly number[]): number {
  let depth = 0
  let end = start
  let enforced = start
  for (const token of tokenize(sql, start)) {
    const text = sql.slice(token.start, token.end).toLowerCase()
    if (depth === 0 && token.start > start && starts.includes(token.start)) return end
    if (token.kind === 'mark' && text === '(') depth++
    else if (token.kind === 'mark' && text === ')') depth--
    if (depth < 0 || (depth === 0 && token.kind === 'mark' && (text === ',' || text === ';'))) return end
    // Words that may only stand behind NOT ENFORCED at the end of the statement do not exist; ENFORCED itself would contradict.
    if (depth === 0 && text === 'enforced') enforced = token.start
    end = token.end
  }
  return Math.max(end, enforced)
}
