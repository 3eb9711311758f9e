/**
 * Functions about sessions that stand alone in a SELECT: the coordinator answers them itself. The engine behind it has one backend, whoever asks, and knows
 * nothing of sessions.
 */
import { namesOf, type Ast } from './ast.ts'
import { constantText } from './analysis/constants.ts'
import type { PlanContext } from './context.ts'
import { applyEdits } from './lex/edits.ts'
import { callAt, tokenize } from './lex/tokens.ts'
import type { SessionAction } from './plan.ts'
import { isShownSetting } from './shown-settings.ts'

/** The action for functions about the session, sessions and settings of the cluster; undefined for anything else. */
export function sessionFunctionAction(context: PlanContext): SessionAction | undefined {
  return aloneAction(context) ?? signalEachAction(context)
}

/** pg_reload_conf(), pg_backend_pid(), pg_cancel_backend(pid), pg_terminate_backend(pid), current_setting('name'). */
function aloneAction(context: PlanContext): SessionAction | undefined {
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
    case 'current_setting': {
      const setting = args.length > 2 ? undefined : constantText(args[0])?.toLowerCase()
      if (setting === undefined || !isShownSetting(setting)) return undefined
      context.valueDependent = true
      return { type: 'currentSetting', name: setting, column }
    }
    default:
      return undefined
  }
}

const SIGNALS = new Map([
  ['pg_cancel_backend', 'cancel'],
  ['pg_terminate_backend', 'terminate'],
] as const)

/** SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE …: `sql` gives the numbers of the sessions. */
function signalEachAction(context: PlanContext): SessionAction | undefined {
  const { survey, statement } = context
  const targets = (statement.body.targetList ?? []) as Ast[]
  const target = targets[0]?.ResTarget as Ast | undefined
  const call = target?.val?.FuncCall as Ast | undefined
  const [name = ''] = namesOf(call?.funcname as Ast[]).slice(-1)
  const how = SIGNALS.get(name as 'pg_cancel_backend')
  const elsewhere = survey.relations.some(
    ({ table }) => table === undefined || table.policy !== undefined || table.viewTouchesDistributed === true,
  )
  if (how === undefined || call === undefined || targets.length !== 1 || survey.params || elsewhere)
    return undefined
  const uses = survey.functions.filter((use) => SIGNALS.has(use.name as 'pg_cancel_backend'))
  if (uses.length !== 1 || uses[0]?.info?.userDefined === true) return undefined
  const range = callAt(context.sql, tokenize(context.sql), context.at(call.location as number))
  const pid = range.args[0]
  if (pid === undefined) return undefined
  context.valueDependent = true
  const sql = applyEdits(context.sql, [{ ...range, text: `(${context.sql.slice(pid.start, pid.end)})` }])
  return { type: 'signalEach', how, sql, column: (target?.name as string | undefined) ?? name }
}

function wholeNumber(expr: Ast): number | undefined {
  const text = constantText(expr)
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined
}
