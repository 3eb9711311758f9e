/**
 * The hot path's lexer: from a statement to its *shape* (the text with every literal replaced by a sign of its class, comments by a blank)
 * and its literals, in a couple of microseconds. It knows exactly as much as it needs and gives up (undefined) on everything else:
 * escape strings, dollar quotes, hexadecimal numbers, continued strings, several statements, … These take the parser's way.
 *
 * Two texts of one shape differ in nothing but the values of literals of the same class, and PostgreSQL's lexer would find the same tokens.
 */

/** Signs that stand for a literal in a shape; they cannot occur in a text that has one. */
export const INTEGER_SIGN = '\u0001'
export const DECIMAL_SIGN = '\u0002'
export const STRING_SIGN = '\u0003'

export interface ShapedStatement {
  readonly shape: string
  /** Values: digits of numbers as written, strings without quotes. */
  readonly literals: readonly string[]
  /** Start of each literal in the text. */
  readonly starts: readonly number[]
  /** End of the statement: before a closing semicolon. */
  readonly end: number
}

const MAX_TEXT = 16_384
const MAX_LITERALS = 128

/** Classes of characters: 0 other, 1 identifier start, 2 digit, 3 blank, 4 plain mark or operator. */
const CLASS = new Uint8Array(128)
for (let c = 0; c < 128; c++) {
  const s = String.fromCharCode(c)
  if (/[A-Za-z_]/.test(s)) CLASS[c] = 1
  else if (/[0-9]/.test(s)) CLASS[c] = 2
  else if (/[ \t\n\r\f\v]/.test(s)) CLASS[c] = 3
  else if (/[()[\],:~!@#^&|`?+*%<>=]/.test(s)) CLASS[c] = 4
}

export function shapeOf(sql: string): ShapedStatement | undefined {
  const length = sql.length
  if (length > MAX_TEXT) return undefined
  const literals: string[] = []
  const starts: number[] = []
  let shape = ''
  let copied = 0
  let at = 0
  let end = length
  while (at < length) {
    const c = sql.charCodeAt(at)
    const kind = c < 128 ? CLASS[c] : 1
    if (kind === 3 || kind === 4) at++
    else if (kind === 1) {
      at++
      while (at < length && isIdentifierPart(sql.charCodeAt(at))) at++
      // E'', B'', X'', N'', and U&'' or U&"": prefixes that change what follows.
      const next = sql.charCodeAt(at)
      if (next === 39 || (next === 38 && isQuote(sql.charCodeAt(at + 1)))) return undefined
    } else if (kind === 2 || (c === 46 && isDigit(sql.charCodeAt(at + 1)))) {
      const start = at
      let decimal = false
      while (isDigit(sql.charCodeAt(at))) at++
      if (sql.charCodeAt(at) === 46) {
        decimal = true
        at++
        while (isDigit(sql.charCodeAt(at))) at++
      }
      if (isIdentifierPart(sql.charCodeAt(at)) || sql.charCodeAt(at) === 46) return undefined
      // Beyond 18 digits an integer may be numeric, or not (leading zeros): the parser knows.
      if (!decimal && at - start > 18) return undefined
      shape += sql.slice(copied, start) + (decimal ? DECIMAL_SIGN : INTEGER_SIGN)
      literals.push(sql.slice(start, at))
      starts.push(start)
      copied = at
    } else if (c === 39) {
      const start = at
      let doubled = false
      for (;;) {
        at = sql.indexOf("'", at + 1)
        if (at < 0) return undefined
        if (sql.charCodeAt(at + 1) !== 39) break
        doubled = true
        at++
      }
      const value = sql.slice(start + 1, at)
      at++
      let after = at
      while (isBlank(sql.charCodeAt(after))) after++
      // A string right after a string continues it when a line break is between.
      if (sql.charCodeAt(after) === 39) return undefined
      shape += sql.slice(copied, start) + STRING_SIGN
      literals.push(doubled ? value.replaceAll("''", "'") : value)
      starts.push(start)
      copied = at
    } else if (c === 34) {
      do {
        at = sql.indexOf('"', at + 1)
        if (at < 0) return undefined
        at++
      } while (sql.charCodeAt(at) === 34)
    } else if (c === 46) at++
    else if (c === 36) {
      if (!isDigit(sql.charCodeAt(at + 1))) return undefined
      at++
      while (isDigit(sql.charCodeAt(at))) at++
      if (isIdentifierPart(sql.charCodeAt(at))) return undefined
    } else if (c === 45) {
      if (sql.charCodeAt(at + 1) !== 45) at++
      else {
        const start = at
        while (at < length && sql.charCodeAt(at) !== 10 && sql.charCodeAt(at) !== 13) at++
        shape += sql.slice(copied, start) + ' '
        copied = at
        // The line break itself stays, so that strings on both sides do not meet; but they would continue: give up.
        if (continuesString(sql, at)) return undefined
      }
    } else if (c === 47) {
      if (sql.charCodeAt(at + 1) !== 42) at++
      else {
        const start = at
        at = sql.indexOf('*/', at + 2)
        if (at < 0 || sql.slice(start + 2, at).includes('/*')) return undefined
        at += 2
        shape += sql.slice(copied, start) + ' '
        copied = at
      }
    } else if (c === 59) {
      for (let after = at + 1; after < length; after++) if (!isBlank(sql.charCodeAt(after))) return undefined
      end = at
      break
    } else return undefined
    if (literals.length > MAX_LITERALS) return undefined
  }
  return { shape: shape + sql.slice(copied, end), literals, starts, end }
}

function continuesString(sql: string, at: number): boolean {
  while (isBlank(sql.charCodeAt(at))) at++
  return sql.charCodeAt(at) === 39
}

function isIdentifierPart(c: number): boolean {
  return (
    (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || (c >= 48 && c <= 57) || c === 95 || c === 36 || c >= 128
  )
}

function isDigit(c: number): boolean {
  return c >= 48 && c <= 57
}

function isBlank(c: number): boolean {
  return c === 32 || (c >= 9 && c <= 13)
}

function isQuote(c: number): boolean {
  return c === 39 || c === 34
}
