/**
 * Whether the body of a user-defined function may touch a distributed table or change the schema: it names a table, has a statement of DDL, or builds SQL at
 * run time. A function runs on one instance only. For the coordinator, which fills `FunctionInfo.touchesDistributed` with it.
 */
import { identifierOf } from '../lex/identifiers.ts'
import { tokenize, type Token } from '../lex/tokens.ts'

const DYNAMIC = new Set(['execute', 'dblink', 'query_to_xml', 'cursor_to_xml'])
const DDL = new Set(['create', 'alter', 'drop', 'grant', 'revoke', 'truncate'])
/** What a statement can follow in PL/pgSQL; at the beginning of a body and behind a semicolon there can be one, too. */
const BEFORE_STATEMENT = new Set(['begin', 'then', 'else', 'loop'])

/** `isDistributed` is asked for every identifier in the body (also inside nested strings). `callees` that are user-defined count as touching. */
export function bodyTouchesTables(
  language: string,
  body: string,
  isDistributed: (name: string) => boolean,
  isTouchingFunction: (name: string) => boolean = () => false,
): boolean {
  if (language !== 'sql' && language !== 'plpgsql') return true
  return tokenize(body).some((token, i, tokens) => {
    if (token.kind === 'string')
      return (
        /[A-Za-z]/.test(body.slice(token.start, token.end)) &&
        stringTouches(body.slice(token.start, token.end), isDistributed)
      )
    if (token.kind !== 'word' && token.kind !== 'quoted') return false
    const name = identifierOf(body, token)
    if (isDistributed(name) || isTouchingFunction(name)) return true
    return (
      token.kind === 'word' && (DYNAMIC.has(name) || (DDL.has(name) && beginsStatement(body, tokens[i - 1])))
    )
  })
}

function beginsStatement(body: string, before: Token | undefined): boolean {
  const text = before === undefined ? ';' : body.slice(before.start, before.end).toLowerCase()
  return text === ';' || BEFORE_STATEMENT.has(text)
}

function stringTouches(text: string, isDistributed: (name: string) => boolean): boolean {
  return (text.match(/[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/g) ?? []).some((word) =>
    isDistributed(word.toLowerCase()),
  )
}
