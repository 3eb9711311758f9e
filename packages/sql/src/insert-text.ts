/**
 * Ranges in the text of an INSERT: each row of its VALUES, and where ON CONFLICT or RETURNING begins.
 */
import { tokenize, type Token } from './lex/tokens.ts'

/** [start, end) of each parenthesised row, or undefined when the text does not show exactly `count` of them. */
export function insertRowRanges(sql: string, count: number): (readonly [number, number])[] | undefined {
  const tokens = tokenize(sql)
  const values = outerWord(sql, tokens, 'values', (next) => is(sql, next, '('))
  if (values < 0) return undefined
  const ranges: [number, number][] = []
  let depth = 0
  let start = 0
  for (let i = values + 1; i < tokens.length; i++) {
    const token = tokens[i] as Token
    if (is(sql, token, '(')) {
      if (depth === 0) start = token.start
      depth++
    } else if (is(sql, token, ')')) {
      depth--
      if (depth === 0) {
        ranges.push([start, token.end])
        if (!is(sql, tokens[i + 1], ',')) break
        i++
      }
    } else if (depth === 0) return undefined
  }
  return ranges.length === count ? ranges : undefined
}

/** Where RETURNING begins, at the outermost level; -1 if there is none. */
export function returningStart(sql: string): number {
  const tokens = tokenize(sql)
  const index = outerWord(sql, tokens, 'returning', () => true)
  return tokens[index]?.start ?? -1
}

/** Index of a reserved word outside parentheses that is not a name (after a dot or AS). */
function outerWord(
  sql: string,
  tokens: readonly Token[],
  word: string,
  follows: (next: Token | undefined) => boolean,
): number {
  let depth = 0
  return tokens.findIndex((token, i) => {
    if (is(sql, token, '(')) depth++
    else if (is(sql, token, ')')) depth--
    if (depth !== 0 || token.kind !== 'word' || sql.slice(token.start, token.end).toLowerCase() !== word)
      return false
    const before = tokens[i - 1]
    const after = before === undefined ? '' : sql.slice(before.start, before.end).toLowerCase()
    return after !== '.' && after !== 'as' && after !== 'into' && follows(tokens[i + 1])
  })
}

function is(sql: string, token: Token | undefined, mark: string): boolean {
  return token?.kind === 'mark' && sql.slice(token.start, token.end) === mark
}
