/**
 * Whether a text is small enough for the parser. PostgreSQL's parser runs here as WebAssembly on the stack of the thread: a statement that is nested too
 * deeply would not end in an error, it would leave the parser broken for every session. And the thread that parses is the coordinator's: a text that takes
 * minutes to plan would keep it from everything else. So both are looked at first, with the lexer alone.
 */
import { Refusal } from '../errors.ts'
import { skipBlank, tokenAt } from './tokens.ts'

/** Words and signs of one text: some ten seconds of planning. */
export const MAX_TOKENS = 1_000_000
/** How deep things may stand in each other, as it is counted here. The parser bears more than three times as much. */
export const MAX_DEPTH = 3_000
/** An opening bracket costs as much stack as so many operators. */
const BRACKET = 3
/** A text of so few characters cannot go beyond a limit. */
const SMALL = MAX_DEPTH / BRACKET

/** What stands between these is in one list, not in each other. */
const BETWEEN = new Set([',', 'and', 'or', 'when', 'then', 'else'])
/** They nest to the left, whatever commas stand between them. */
const CHAINS = new Set(['union', 'intersect', 'except', 'join'])

/** What one bracket, or CASE, could nest so far: in all, and since the last comma. */
interface Level {
  readonly chain: number
  readonly run: number
}

/** Throws Refusal 54001 for a text that is nested too deeply, 54000 for one that is too long. Cheap for short texts. */
export function refuseIfTooLarge(sql: string): void {
  if (sql.length < SMALL) return
  let tokens = 0
  /** Of the levels around the one that is read. */
  let around = 0
  let outer: Level[] = []
  let chain = 0
  let run = 0
  for (let at = skipBlank(sql, 0); at < sql.length; at = skipBlank(sql, at)) {
    const token = tokenAt(sql, at)
    at = token.end
    if (++tokens > MAX_TOKENS) throw tooLong()
    // A word that is longer is no keyword.
    const word = token.end - token.start > 9 ? '' : sql.slice(token.start, token.end).toLowerCase()
    if (word === ';') {
      outer = []
      around = chain = run = 0
    } else if (word === '(' || word === '[' || word === 'case') {
      outer.push({ chain, run })
      around += chain + run
      chain = 0
      run = BRACKET
    } else if (word === ')' || word === ']' || word === 'end') {
      const before = outer.pop()
      if (before === undefined) continue // not a bracket's end; the parser says what it is
      around -= before.chain + before.run
      ;({ chain, run } = before)
      run++
    } else if (BETWEEN.has(word)) run = outer.length === 0 ? 0 : BRACKET
    else if (CHAINS.has(word)) {
      chain++
      run = outer.length === 0 ? 0 : BRACKET
    } else run++
    if (around + chain + run > MAX_DEPTH) throw tooDeep()
  }
}

function tooDeep(): Refusal {
  return new Refusal(
    '54001',
    'stack depth limit exceeded',
    'The statement is nested too deeply: use fewer levels of brackets, or shorter chains of operators.',
  )
}

function tooLong(): Refusal {
  return new Refusal(
    '54000',
    `the text is too long: it has more than ${MAX_TOKENS} words and signs`,
    'Load rows with COPY, or send the statements one by one.',
  )
}
