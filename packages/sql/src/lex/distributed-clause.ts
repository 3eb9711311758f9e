/**
 * Cuts Greenplum's DISTRIBUTED clause out of CREATE TABLE (and CREATE TABLE AS, CREATE MATERIALIZED VIEW) and recognises ALTER TABLE … SET
 * DISTRIBUTED, before PostgreSQL's parser sees the text. Works on tokens, so strings, quoted names, dollar quotes and comments are safe.
 */
import type { DistributionClause } from '../plan.ts'
import { identifierOf } from './identifiers.ts'
import { tokenize, type Token } from './tokens.ts'

/** The text without the clause (blanks in its place, so positions in error messages stay true), and the clause. */
export interface CutText {
  readonly sql: string
  /** One entry a clause, with the position where it stood. */
  readonly clauses: readonly {
    readonly start: number
    readonly clause: DistributionClause
    readonly inAlter: boolean
  }[]
}

/** Cheap test before the real one. */
export function mayBeDistributed(sql: string): boolean {
  return /\bdistributed\b/i.test(sql)
}

export function cutDistributedClauses(sql: string): CutText {
  const tokens = tokenize(sql)
  const clauses: { start: number; clause: DistributionClause; inAlter: boolean }[] = []
  let result = sql
  let depth = 0
  let first = 0
  for (let i = 0; i < tokens.length; i++) {
    const text = markOf(sql, tokens[i])
    if (text === '(') depth++
    else if (text === ')') depth--
    else if (text === ';') {
      first = i + 1
      depth = 0
    }
    const command = wordOf(sql, tokens[first])
    if (depth !== 0 || i === first || (command !== 'create' && command !== 'alter')) continue
    if (wordOf(sql, tokens[i]) !== 'distributed') continue
    const found = readClause(sql, tokens, i)
    if (found === undefined) continue
    const inAlter = command === 'alter' && wordOf(sql, tokens[i - 1]) === 'set'
    if (command === 'alter' && !inAlter) continue
    const from = (inAlter ? tokens[i - 1] : tokens[i]) as Token
    const to = tokens[found.last] as Token
    result = result.slice(0, from.start) + ' '.repeat(to.end - from.start) + result.slice(to.end)
    clauses.push({ start: from.start, clause: found.clause, inAlter })
    i = found.last
  }
  return { sql: result, clauses }
}

function readClause(
  sql: string,
  tokens: readonly Token[],
  at: number,
): { clause: DistributionClause; last: number } | undefined {
  const next = wordOf(sql, tokens[at + 1])
  if (next === 'randomly') return { clause: { kind: 'randomly' }, last: at + 1 }
  if (next === 'replicated') return { clause: { kind: 'replicated' }, last: at + 1 }
  if (next !== 'by' || markOf(sql, tokens[at + 2]) !== '(') return undefined
  const columns: string[] = []
  for (let i = at + 3; ; i += 2) {
    const name = tokens[i]
    if (name === undefined || (name.kind !== 'word' && name.kind !== 'quoted')) return undefined
    columns.push(identifierOf(sql, name))
    const mark = markOf(sql, tokens[i + 1])
    if (mark === ')') return { clause: { kind: 'by', columns }, last: i + 1 }
    if (mark !== ',') return undefined
  }
}

function wordOf(sql: string, token: Token | undefined): string | undefined {
  return token?.kind === 'word' ? sql.slice(token.start, token.end).toLowerCase() : undefined
}

function markOf(sql: string, token: Token | undefined): string | undefined {
  return token?.kind === 'mark' ? sql.slice(token.start, token.end) : undefined
}
