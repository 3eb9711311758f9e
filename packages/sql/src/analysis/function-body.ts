/**
 * Whether the body of a user-defined function may touch a distributed table: it names one, or builds SQL at run time. For the coordinator,
 * which fills `FunctionInfo.touchesDistributed` with it.
 */
import { identifierOf } from '../lex/identifiers.ts'
import { tokenize } from '../lex/tokens.ts'

const DYNAMIC = new Set(['execute', 'dblink', 'query_to_xml', 'cursor_to_xml'])

/** `isDistributed` is asked for every identifier in the body (also inside nested strings). `callees` that are user-defined count as touching. */
export function bodyTouchesTables(
  language: string,
  body: string,
  isDistributed: (name: string) => boolean,
  isTouchingFunction: (name: string) => boolean = () => false,
): boolean {
  if (language !== 'sql' && language !== 'plpgsql') return true
  return tokenize(body).some((token) => {
    if (token.kind === 'string')
      return (
        /[A-Za-z]/.test(body.slice(token.start, token.end)) &&
        stringTouches(body.slice(token.start, token.end), isDistributed)
      )
    if (token.kind !== 'word' && token.kind !== 'quoted') return false
    const name = identifierOf(body, token)
    return isDistributed(name) || isTouchingFunction(name) || (token.kind === 'word' && DYNAMIC.has(name))
  })
}

function stringTouches(text: string, isDistributed: (name: string) => boolean): boolean {
  return (text.match(/[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*/g) ?? []).some((word) =>
    isDistributed(word.toLowerCase()),
  )
}
