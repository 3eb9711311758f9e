/**
 * SELECT set_config('name', 'value', is_local): a SET in disguise (pg_dump and drivers use it). Alone and with constants it becomes a session action;
 * anywhere else it would change the settings of whoever has the engine next.
 */
import { namesOf, type Ast } from './ast.ts'
import { constantText } from './analysis/constants.ts'
import type { PlanContext } from './context.ts'
import { notSupported } from './errors.ts'
import type { SessionAction } from './plan.ts'

export function setConfigAction(context: PlanContext): SessionAction | undefined {
  const { survey, statement } = context
  if (!survey.functions.some((use) => use.name === 'set_config' && use.info?.userDefined !== true))
    return undefined
  const targets = (statement.body.targetList ?? []) as Ast[]
  const call = targets[0]?.ResTarget?.val?.FuncCall as Ast | undefined
  const args = ((call?.args ?? []) as Ast[]).map((arg) => constantText(arg))
  const [name, value, local] = args
  const alone =
    targets.length === 1 &&
    survey.relations.length === 0 &&
    survey.functions.length === 1 &&
    statement.body.whereClause === undefined
  if (
    !alone ||
    namesOf(call?.funcname as Ast[]).at(-1) !== 'set_config' ||
    name === undefined ||
    value === undefined ||
    local === undefined
  ) {
    throw notSupported(
      'set_config is supported only as SELECT set_config(name, value, is_local) with constants',
      'Use SET.',
    )
  }
  context.valueDependent = true
  return { type: 'setConfig', name: name.toLowerCase(), value, local: /^(t|true|on|1|yes)$/i.test(local) }
}
