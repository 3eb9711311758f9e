/**
 * Functions about sessions that stand alone in a SELECT: the coordinator answers them itself. The engine behind it has one backend, whoever asks, and knows
 * nothing of sessions.
 */
import { namesOf, type Ast } from './ast.ts'
import { readConstant } from './analysis/constants.ts'
import type { PlanContext } from './context.ts'
import type { SessionAction } from './plan.ts'

/** The action for pg_reload_conf(), pg_backend_pid(), pg_cancel_backend(pid) and pg_terminate_backend(pid); undefined for anything else. */
export function sessionFunctionAction(context: PlanContext): SessionAction | undefined {
  const { survey, statement } = context
  const [use] = survey.functions
  if (use === undefined || survey.functions.length !== 1 || survey.relations.length > 0) return undefined
  if (use.info?.userDefined === true) return undefined
  const { targetList, whereClause, limitCount, limitOffset } = statement.body
  const targets = (targetList ?? []) as Ast[]
  const target = targets[0]?.ResTarget as Ast | undefined
  const call = target?.val?.FuncCall as Ast | undefined
  const isMore = [whereClause, limitCount, limitOffset].some((clause) => clause !== undefined)
  if (targets.length !== 1 || call === undefined || isMore) return undefined
  const name = namesOf(call.funcname as Ast[]).at(-1) ?? ''
  const column = (target?.name as string | undefined) ?? name
  const args = (call.args ?? []) as Ast[]
  switch (name) {
    // What is written after ALTER SYSTEM out of habit. Here that is in force already; the engine would answer false, having nobody to send a signal to.
    case 'pg_reload_conf':
      return args.length === 0 ? { type: 'reloadConf', column } : undefined
    case 'pg_backend_pid':
      return args.length === 0 ? { type: 'backendPid', column } : undefined
    case 'pg_cancel_backend':
    case 'pg_terminate_backend': {
      const pid = args[0] === undefined ? undefined : wholeNumber(args[0])
      if (pid === undefined || args.length > (name === 'pg_cancel_backend' ? 1 : 2)) return undefined
      context.valueDependent = true
      return { type: 'signal', how: name === 'pg_cancel_backend' ? 'cancel' : 'terminate', pid, column }
    }
    default:
      return undefined
  }
}

function wholeNumber(expr: Ast): number | undefined {
  const inner = expr.TypeCast === undefined ? expr : (expr.TypeCast.arg as Ast)
  const text = inner.A_Const === undefined ? undefined : readConstant(inner.A_Const as Ast)?.text
  return text !== undefined && text !== null && /^\d+$/.test(text) ? Number(text) : undefined
}
