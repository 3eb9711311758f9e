/**
 * Statements that only concern the session: transactions, settings, prepared statements, cursors.
 */
import type { Ast } from './ast.ts'
import { readConstant } from './analysis/constants.ts'
import type { PlanContext } from './context.ts'
import { notSupported } from './errors.ts'
import { tokenize } from './lex/tokens.ts'
import type { Plan, SessionAction, TransactionModes } from './plan.ts'

export function planTransaction(body: Ast): Plan {
  const name = String(body.savepoint_name ?? '')
  const chain = body.chain === true
  switch ((body.kind ?? 'TRANS_STMT_BEGIN') as string) {
    case 'TRANS_STMT_BEGIN':
    case 'TRANS_STMT_START':
      return session({ type: 'begin', modes: transactionModes((body.options ?? []) as Ast[]) })
    case 'TRANS_STMT_COMMIT':
      return session({ type: 'commit', chain })
    case 'TRANS_STMT_ROLLBACK':
      return session({ type: 'rollback', chain })
    case 'TRANS_STMT_SAVEPOINT':
      return session({ type: 'savepoint', name })
    case 'TRANS_STMT_ROLLBACK_TO':
      return session({ type: 'rollbackTo', name })
    case 'TRANS_STMT_RELEASE':
      return session({ type: 'release', name })
    default:
      throw notSupported(
        'PREPARE TRANSACTION, COMMIT PREPARED and ROLLBACK PREPARED are used by the cluster itself',
        'Use COMMIT: transactions over several segments are committed in two phases by themselves.',
      )
  }
}

export function planSet(body: Ast, sql: string): Plan {
  const kind = (body.kind ?? 'VAR_SET_VALUE') as string
  const name = String(body.name ?? '').toLowerCase()
  const local = body.is_local === true
  const args = (body.args ?? []) as Ast[]
  switch (kind) {
    case 'VAR_RESET':
      return session({ type: 'reset', name })
    case 'VAR_RESET_ALL':
      return session({ type: 'reset', name: undefined })
    case 'VAR_SET_DEFAULT':
      return session({ type: 'set', name, value: undefined, local })
    case 'VAR_SET_MULTI':
      if (name === 'transaction snapshot')
        throw notSupported('SET TRANSACTION SNAPSHOT is not supported', 'Use one session.')
      return session({
        type: 'setTransaction',
        modes: transactionModes(args),
        session: name === 'session characteristics',
      })
    case 'VAR_SET_CURRENT':
      throw notSupported('SET … FROM CURRENT is not supported', 'Give the value.')
    default:
      return session({ type: 'set', name, value: settingValue(args, sql), local })
  }
}

/** ALTER SYSTEM SET name = value, SET name TO DEFAULT, RESET name, RESET ALL. */
export function planAlterSystem(body: Ast, sql: string): Plan {
  const set = ((body.setstmt as Ast).VariableSetStmt ?? body.setstmt) as Ast
  const kind = set.kind as string
  const name = kind === 'VAR_RESET_ALL' ? undefined : String(set.name ?? '').toLowerCase()
  const value = kind === 'VAR_SET_VALUE' ? settingValue((set.args ?? []) as Ast[], sql) : undefined
  return session({ type: 'alterSystem', name, value })
}

/** The value as set_config would take it: several values joined by a comma, names quoted where needed. */
export function settingValue(args: readonly Ast[], sql: string): string {
  const list = args.map((arg) => {
    if (arg.A_Const !== undefined) {
      const constant = readConstant(arg.A_Const as Ast)
      return {
        text: constant?.class === 'boolean' ? (constant.text === 't' ? 'on' : 'off') : (constant?.text ?? ''),
      }
    }
    // SET TIME ZONE INTERVAL '…': the text itself.
    const interval = arg.TypeCast?.arg?.A_Const as Ast | undefined
    if (interval !== undefined) return { text: readConstant(interval)?.text ?? '' }
    throw notSupported(`this value is not supported: ${sql}`, 'Give a constant.')
  })
  if (list.length === 1) return list[0]?.text ?? ''
  return list
    .map(({ text }) => (/^[a-z_][a-z0-9_$]*$/.test(text) ? text : `"${text.replaceAll('"', '""')}"`))
    .join(', ')
}

function transactionModes(options: readonly Ast[]): TransactionModes {
  const modes: {
    isolation?: NonNullable<TransactionModes['isolation']>
    readOnly?: boolean
    deferrable?: boolean
  } = {}
  for (const { DefElem: option } of options) {
    const value = readConstant((option.arg?.A_Const ?? {}) as Ast)
    if (option.defname === 'transaction_isolation')
      modes.isolation = String(value?.text).toLowerCase() as NonNullable<TransactionModes['isolation']>
    if (option.defname === 'transaction_read_only')
      modes.readOnly = value?.text === '1' || value?.text === 't'
    if (option.defname === 'transaction_deferrable')
      modes.deferrable = value?.text === '1' || value?.text === 't'
  }
  return modes
}

export function planShow(body: Ast): Plan {
  const name = String(body.name ?? '').toLowerCase()
  return session({ type: 'show', name: name === 'all' ? undefined : name })
}

const DISCARD = {
  DISCARD_ALL: 'all',
  DISCARD_PLANS: 'plans',
  DISCARD_SEQUENCES: 'sequences',
  DISCARD_TEMP: 'temp',
} as const

export function planDiscard(body: Ast): Plan {
  return session({ type: 'discard', target: DISCARD[(body.target ?? 'DISCARD_ALL') as keyof typeof DISCARD] })
}

/** PREPARE name (types) AS statement. */
export function planPrepare(context: PlanContext): Plan {
  const { sql, statement } = context
  const tokens = tokenize(sql)
  const types: string[] = []
  let at = 2
  if (sql.slice(tokens[2]?.start, tokens[2]?.end) === '(') {
    let depth = 0
    let from = tokens[2]?.end ?? 0
    for (; at < tokens.length; at++) {
      const token = tokens[at]
      const mark = sql.slice(token?.start, token?.end)
      if (mark === '(') depth++
      if (mark === ')') depth--
      if ((mark === ',' && depth === 1) || (mark === ')' && depth === 0)) {
        types.push(sql.slice(from, token?.start).trim())
        from = token?.end ?? 0
      }
      if (depth === 0) break
    }
    at++
  }
  // tokens[at] is AS
  const text = sql.slice(tokens[at]?.end).trim()
  return session({ type: 'prepare', name: String(statement.body.name), argTypes: types, sql: text })
}

/** EXECUTE name (args). */
export function planExecute(context: PlanContext): Plan {
  const { sql, statement } = context
  const params = (statement.body.params ?? []) as Ast[]
  const values = params.map((param) =>
    param.A_Const === undefined ? undefined : readConstant(param.A_Const as Ast),
  )
  const constants = values.every((value) => value !== undefined)
    ? values.map((value) => (value.class === 'null' ? null : value.text))
    : undefined
  return session({ type: 'execute', name: String(statement.body.name), args: argumentTexts(sql), constants })
}

function argumentTexts(sql: string): string[] {
  const args: string[] = []
  let depth = 0
  let from = -1
  for (const token of tokenize(sql)) {
    const mark = token.kind === 'mark' ? sql.slice(token.start, token.end) : ''
    if (mark === '(' || mark === '[') {
      if (depth === 0) from = token.end
      depth++
    } else if (mark === ')' || mark === ']') {
      depth--
      if (depth === 0) args.push(sql.slice(from, token.start).trim())
    } else if (mark === ',' && depth === 1) {
      args.push(sql.slice(from, token.start).trim())
      from = token.end
    }
  }
  return args
}

const CURSOR_BINARY = 1
const CURSOR_SCROLL = 2
const CURSOR_HOLD = 32

/** DECLARE name … CURSOR … FOR query. */
export function planDeclareCursor(context: PlanContext): Plan {
  const { sql, statement } = context
  const options = (statement.body.options ?? 0) as number
  const query = tokenize(sql).find(
    (token) => token.kind === 'word' && /^for$/i.test(sql.slice(token.start, token.end)),
  )
  return session({
    type: 'declareCursor',
    name: String(statement.body.portalname),
    sql: sql.slice(query?.end).trim(),
    binary: (options & CURSOR_BINARY) !== 0,
    scroll: (options & CURSOR_SCROLL) !== 0,
    hold: (options & CURSOR_HOLD) !== 0,
  })
}

const DIRECTIONS = {
  FETCH_FORWARD: 'forward',
  FETCH_BACKWARD: 'backward',
  FETCH_ABSOLUTE: 'absolute',
  FETCH_RELATIVE: 'relative',
} as const
/** FETCH ALL in the parse tree: the largest long of the parser's 32-bit build, or of a 64-bit one. */
const FETCH_ALL = 2147483647

export function planFetch(body: Ast): Plan {
  const direction = DIRECTIONS[(body.direction ?? 'FETCH_FORWARD') as keyof typeof DIRECTIONS]
  const count = Number(body.howMany ?? 0)
  return session({
    type: 'fetch',
    name: String(body.portalname),
    move: body.ismove === true,
    direction,
    count: count >= FETCH_ALL ? 'all' : count,
  })
}

export function session(action: SessionAction): Plan {
  return { kind: 'session', action }
}
