/**
 * PostgreSQL's own parser (libpg-query, version 18), loaded once for the process.
 */
import { hasSqlDetails, loadModule, parseSync } from 'libpg-query'
import type { Ast } from './ast.ts'
import { Refusal } from './errors.ts'
import { refuseIfTooLarge } from './lex/statement-size.ts'
import { skipBlank } from './lex/tokens.ts'

/** One statement with its own text; positions in `ast` are bytes from the start of `sql`. */
export interface RawStatement {
  readonly sql: string
  readonly kind: string
  readonly body: Ast
  /** Where the statement begins in the text it came from. */
  readonly start: number
}

/** Loads the WebAssembly parser; await it once before anything else. */
export async function loadParser(): Promise<void> {
  await loadModule()
}

/** The statements of a query text. Throws Refusal 42601 on a syntax error, 54001 and 54000 when it is too much for the parser. */
export function parseStatements(text: string): RawStatement[] {
  const start = skipBlank(text, 0)
  if (start >= text.length) return []
  const sql = start === 0 ? text : text.slice(start)
  refuseIfTooLarge(sql)
  const stmts = parseTree(sql, start)
  const first = stmts[0]
  const bytes = Buffer.from(sql, 'utf8')
  if (stmts.length === 1 && first !== undefined && (first.stmt_location ?? 0) === 0) {
    const length = first.stmt_len as number | undefined
    return [wrap(length === undefined ? sql : cut(bytes, 0, length), first.stmt, start)]
  }
  // Several: parse each by itself, so that positions are its own.
  const found: RawStatement[] = []
  let byte = 0
  let index = start
  for (const stmt of stmts) {
    const from = (stmt.stmt_location ?? 0) as number
    index += bytes.subarray(byte, from).toString('utf8').length
    byte = from
    const part = cut(bytes, from, (stmt.stmt_len as number | undefined) ?? Number.MAX_SAFE_INTEGER)
    const blank = skipBlank(part, 0)
    const own = part.slice(blank)
    const parsed = parseTree(own, 0)[0]
    if (parsed !== undefined) found.push(wrap(own, parsed.stmt, index + blank))
  }
  return found
}

function wrap(sql: string, stmt: Ast, start: number): RawStatement {
  const kind = Object.keys(stmt)[0] ?? ''
  return { sql: sql.trimEnd(), kind, body: stmt[kind] as Ast, start }
}

function cut(bytes: Buffer, byte: number, length: number): string {
  return bytes.subarray(byte, Math.min(bytes.length, byte + length)).toString('utf8')
}

function parseTree(sql: string, offset: number): Ast[] {
  try {
    return (parseSync(sql) as Ast).stmts ?? []
  } catch (error) {
    if (!hasSqlDetails(error)) throw error
    const position = (error.sqlDetails?.cursorPosition ?? 0) + 1 + offset
    throw new Refusal('42601', error.message, undefined, { position })
  }
}
