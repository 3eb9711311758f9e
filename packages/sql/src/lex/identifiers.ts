/**
 * Names and literals as PostgreSQL writes and reads them.
 */
import type { Token } from './tokens.ts'

/** The name that an identifier token means: folded to lower case, or unquoted. */
export function identifierOf(sql: string, token: Token): string {
  const text = sql.slice(token.start, token.end)
  return token.kind === 'quoted' ? text.slice(1, -1).replaceAll('""', '"') : text.toLowerCase()
}

/** `"name"`; always quoted: it is right for keywords too. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A string literal that means the same whatever standard_conforming_strings says. */
export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`
  return text.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted
}

/** `"schema"."name"` */
export function qualifiedName(table: { readonly schema: string; readonly name: string }): string {
  return `${quoteIdentifier(table.schema)}.${quoteIdentifier(table.name)}`
}
