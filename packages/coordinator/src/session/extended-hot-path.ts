/** Recognises the round Parse? Bind Describe? Execute Sync of one statement for one content, and sends it in one item. */
import {
  Frontend,
  readBind,
  readDescribe,
  readExecute,
  readParse,
  type FrontendMessage,
} from '@mirabelle/pgwire'
import { paramsOf, type Bound } from '../execute/statement.ts'
import { describeKey, type Described } from './describe.ts'
import { runPrepared } from './hot-path.ts'
import type { SessionState } from './session-state.ts'

/** The statement that the round prepares by the way, when it is known already. */
interface Opening {
  readonly described: Described
  readonly parsed: boolean
}

/** Undefined when this is no case for the hot path: then nothing has been done. */
export function runRound(
  state: SessionState,
  round: readonly FrontendMessage[],
  planAgain: () => Promise<void>,
): Promise<void> | undefined {
  if (!state.plain || round.length < 2 || round.length > 4 || state.own('statement_timeout') > 0)
    return undefined
  let at = 0
  const parse = round[0]?.type === Frontend.parse ? round[at++] : undefined
  const bind = round[at++]
  if (bind?.type !== Frontend.bind) return undefined
  const describe = round[at]?.type === Frontend.describe ? round[at++] : undefined
  if (describe !== undefined && !isUnnamedPortal(describe)) return undefined
  const execute = round[at++]
  if (execute?.type !== Frontend.execute || at !== round.length) return undefined
  const { portal, maxRows } = readExecute(execute)
  if (portal !== '' || maxRows !== 0) return undefined
  const fields = readBind(bind)
  if (fields.portal !== '') return undefined
  const opening = open(state, parse, fields.statement)
  if (opening === undefined || fields.parameters.length !== opening.described.types.length) return undefined
  const { described, parsed } = opening
  const bound: Bound = {
    types: described.types,
    params: paramsOf(fields),
    resultFormats: fields.resultFormats,
  }
  return runPrepared(
    state,
    described,
    bound,
    bind.bytes,
    { parsed, describePortal: describe !== undefined },
    planAgain,
  )
}

function isUnnamedPortal(describe: FrontendMessage): boolean {
  const target = readDescribe(describe)
  return target.kind === 'P' && target.name === ''
}

function open(
  state: SessionState,
  parse: FrontendMessage | undefined,
  statement: string,
): Opening | undefined {
  const version = state.view().version
  const settingsKey = state.settings.forStatements.key
  if (parse === undefined) {
    const described = state.prepared.get(statement)?.described
    if (described?.version !== version || described.settingsKey !== settingsKey) return undefined
    return { described, parsed: false }
  }
  const fields = readParse(parse)
  if (fields.statement !== '' || statement !== '') return undefined
  const described = state.describeCache.find(
    describeKey(fields.query, fields.parameterTypes, version, settingsKey),
  )
  if (described === undefined) return undefined
  state.prepared.set('', { text: fields.query, types: fields.parameterTypes, described })
  return { described, parsed: true }
}
