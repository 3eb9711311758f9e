/**
 * PostgreSQL's lexical rules (scan.l, standard_conforming_strings on), as a generator of ranges. Used where a text has to be cut or
 * changed without a parser: the DISTRIBUTED clause, parameters, names of relations, bodies of functions. Not the hot path.
 * An unterminated string or comment reaches to the end of the text; PostgreSQL's parser reports it.
 */

export type TokenKind = 'word' | 'quoted' | 'string' | 'number' | 'param' | 'operator' | 'mark'

/** [start, end) in UTF-16 units. `mark` is one of ( ) [ ] , ; . : */
export interface Token {
  readonly kind: TokenKind
  readonly start: number
  readonly end: number
}

const WORD = /[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/y
const NUMBER =
  /0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?/y
const PARAM = /\$[0-9]+/y
const DOLLAR = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y
const OPERATOR = /[~!@#^&|`?+\-*/%<>=]+/y

/** All tokens from `from` on, blanks and comments left out. */
export function tokenize(sql: string, from = 0): Token[] {
  const tokens: Token[] = []
  let at = from
  for (;;) {
    at = skipBlank(sql, at)
    if (at >= sql.length) return tokens
    const token = tokenAt(sql, at)
    tokens.push(token)
    at = token.end
  }
}

export interface Range {
  readonly start: number
  readonly end: number
}

/** A call whose name begins at `start`: to its closing parenthesis, with its arguments. */
export function callAt(
  sql: string,
  tokens: readonly Token[],
  start: number,
): Range & { readonly args: readonly Range[] } {
  const args: Range[] = []
  let depth = 0
  let from = 0
  for (const token of tokens.slice(tokens.findIndex((one) => one.start === start))) {
    const mark = token.kind === 'mark' ? sql[token.start] : undefined
    if ((mark === ',' || mark === ')') && depth === 1 && from < token.start)
      args.push({ start: from, end: token.start })
    if (mark === '(' || mark === '[') depth += 1
    if (mark === ')' || mark === ']') depth -= 1
    if ((mark === '(' || mark === ',') && depth === 1) from = token.end
    if (mark === ')' && depth === 0) return { start, end: token.end, args }
  }
  throw new RangeError(`no call at ${start}`)
}

/** Index of the first character at or after `at` that is neither blank nor comment. */
export function skipBlank(sql: string, at: number): number {
  for (;;) {
    const c = sql.charCodeAt(at)
    if (c === 32 || (c >= 9 && c <= 13)) at++
    else if (c === 45 && sql.charCodeAt(at + 1) === 45) {
      while (at < sql.length && sql.charCodeAt(at) !== 10 && sql.charCodeAt(at) !== 13) at++
    } else if (c === 47 && sql.charCodeAt(at + 1) === 42) at = skipComment(sql, at)
    else return at
  }
}

/** Comments nest. `at` stands on the opening. */
export function skipComment(sql: string, at: number): number {
  let depth = 0
  while (at < sql.length) {
    if (sql.startsWith('/*', at)) {
      depth++
      at += 2
    } else if (sql.startsWith('*/', at)) {
      depth--
      at += 2
      if (depth === 0) return at
    } else at++
  }
  return at
}

/** The token that begins at `at`, where no blank or comment stands. */
export function tokenAt(sql: string, at: number): Token {
  const c = sql[at] as string
  if (c === "'") return { kind: 'string', start: at, end: endOfQuoted(sql, at, "'", false) }
  if (c === '"') return { kind: 'quoted', start: at, end: endOfQuoted(sql, at, '"', false) }
  const word = match(WORD, sql, at)
  if (word > 0) {
    const next = sql[at + word]
    const prefix = sql.slice(at, at + word).toLowerCase()
    if (next === "'" && ['e', 'b', 'x', 'n'].includes(prefix)) {
      return { kind: 'string', start: at, end: endOfQuoted(sql, at + 1, "'", prefix === 'e') }
    }
    if (prefix === 'u' && next === '&' && (sql[at + 2] === "'" || sql[at + 2] === '"')) {
      const quote = sql[at + 2] as string
      return {
        kind: quote === "'" ? 'string' : 'quoted',
        start: at,
        end: endOfQuoted(sql, at + 2, quote, false),
      }
    }
    return { kind: 'word', start: at, end: at + word }
  }
  const number = match(NUMBER, sql, at)
  if (number > 0) return { kind: 'number', start: at, end: at + number }
  const param = match(PARAM, sql, at)
  if (param > 0) return { kind: 'param', start: at, end: at + param }
  const dollar = match(DOLLAR, sql, at)
  if (dollar > 0) {
    const close = sql.indexOf(sql.slice(at, at + dollar), at + dollar)
    return { kind: 'string', start: at, end: close < 0 ? sql.length : close + dollar }
  }
  const operator = operatorLength(sql, at)
  if (operator > 0) return { kind: 'operator', start: at, end: at + operator }
  return { kind: 'mark', start: at, end: at + 1 }
}

/** End of a quoted thing whose opening quote is at `at`; a doubled quote stands for one. */
function endOfQuoted(sql: string, at: number, quote: string, backslashes: boolean): number {
  for (let i = at + 1; i < sql.length; i++) {
    if (backslashes && sql[i] === '\\') i++
    else if (sql[i] === quote) {
      if (sql[i + 1] === quote) i++
      else return i + 1
    }
  }
  return sql.length
}

/** An operator ends before a comment; it may end in + or - only if it holds one of ~ ! @ # ^ & | ` ? % */
function operatorLength(sql: string, at: number): number {
  let length = match(OPERATOR, sql, at)
  if (length === 0) return 0
  let text = sql.slice(at, at + length)
  for (const comment of ['--', '/*']) {
    const found = text.indexOf(comment)
    if (found > 0) text = text.slice(0, found)
  }
  if (!/[~!@#^&|`?%]/.test(text))
    text = text.length > 1 ? text[0] + text.slice(1).replace(/[+-]+$/, '') : text
  length = text.length
  return length
}

function match(pattern: RegExp, sql: string, at: number): number {
  pattern.lastIndex = at
  return pattern.test(sql) ? pattern.lastIndex - at : 0
}
