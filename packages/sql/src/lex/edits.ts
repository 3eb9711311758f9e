/**
 * Changes of a text by ranges, and the way from the parser's byte positions to string positions. Statements are rewritten this way rather
 * than deparsed wherever possible: what is not touched stays exactly as the user wrote it.
 */
import { quoteLiteral } from './identifiers.ts'
import { tokenize } from './tokens.ts'

/** Replace [start, end) by `text`. */
export interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** Applies edits that do not overlap, in any order. */
export function applyEdits(sql: string, edits: readonly Edit[]): string {
  let result = ''
  let at = 0
  for (const edit of [...edits].sort((a, b) => a.start - b.start || a.end - b.end)) {
    if (edit.start < at) throw new RangeError(`edits overlap at ${edit.start}`)
    result += sql.slice(at, edit.start) + edit.text
    at = edit.end
  }
  return result + sql.slice(at)
}

/** Maps UTF-8 byte positions of PostgreSQL's parser to UTF-16 positions; free of cost for ASCII texts. */
export function byteIndexer(sql: string): (byte: number) => number {
  // eslint-disable-next-line no-control-regex
  if (!/[^\u0000-\u007f]/.test(sql)) return (byte) => byte
  const bytes = Buffer.from(sql, 'utf8')
  return (byte) => bytes.subarray(0, byte).toString('utf8').length
}

/** Puts the values of parameters into a text, as `('text'::type)`: for COPY (SELECT …), which takes no parameters. `values` are texts (or
 * null), `types` their type names, both in order of $1, $2, … */
export function substituteParams(
  sql: string,
  values: readonly (string | null)[],
  types: readonly string[],
): string {
  const edits: Edit[] = []
  for (const token of tokenize(sql)) {
    if (token.kind !== 'param') continue
    const index = Number(sql.slice(token.start + 1, token.end)) - 1
    const value = values[index]
    if (value === undefined)
      throw new RangeError(`there is no parameter $${index + 1}: ${values.length} given`)
    const literal = value === null ? 'NULL' : quoteLiteral(value)
    const type = types[index]
    edits.push({
      start: token.start,
      end: token.end,
      text: type === undefined ? literal : `(${literal}::${type})`,
    })
  }
  return applyEdits(sql, edits)
}
