/** Statements that concern the session only: settings, prepared statements, cursors, and the control of transactions. */
import {
  commandComplete,
  dataRow,
  resultsOf,
  rowDescription,
  rowsOf,
  textField,
  type FieldDescription,
} from '@mirabelle/pgwire'
import type { SessionAction } from '@mirabelle/sql'
import { literal } from '../catalog/catalog-sql.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { SqlError } from '../errors.ts'
import { execute } from '../execute/executor.ts'
import { runLocal } from '../execute/run-on.ts'
import type { Scope } from '../execute/scope.ts'
import { CollectingSink } from '../execute/sink.ts'
import type { Bound } from '../execute/statement.ts'
import { describe, describedRows, describeKey, oneTextColumn, type Described } from './describe.ts'
import { alterSystem } from './alter-system.ts'
import { SHOW_ALL_COLUMNS, showAll } from './show-all.ts'
import { report, resetSetting, setSetting, show } from './set-actions.ts'
import { knownValue } from './known-value.ts'
import type { Prepared, SessionState } from './session-state.ts'
import { signalSession } from './signal-session.ts'
import { controlTransaction, isTransactionControl } from './transaction-actions.ts'

const BOOL_OID = 16
const INT4_OID = 23
const boolField = (name: string): FieldDescription => textField(name, BOOL_OID, 1)
const numberField = (name: string): FieldDescription => textField(name, INT4_OID, 4)

/** Carries out a session action; the answer goes to the scope's sink. `sql` is the statement as written. */
export async function sessionAction(
  state: SessionState,
  scope: Scope,
  sql: string,
  action: SessionAction,
): Promise<void> {
  const done = (tag: string) => scope.sink.send(commandComplete(tag))
  if (isTransactionControl(action)) return done(await controlTransaction(state, scope, action))
  switch (action.type) {
    case 'set':
      await setSetting(state, scope, sql, action)
      return done('SET')
    case 'setConfig': {
      const { name, value, local } = action
      const text = `SET ${name.includes('.') ? name : `"${name}"`} TO ${literal(value)}`
      const statement =
        name === 'search_path' ? `SELECT set_config('search_path', ${literal(value)}, false)` : text
      const effective = await setSetting(state, scope, statement, { name, value, local })
      if (scope.describe) scope.sink.send(rowDescription([textField('set_config')]))
      scope.sink.send(dataRow([effective]))
      return done('SELECT 1')
    }
    case 'reloadConf':
      return answerOne(scope, boolField(action.column), 't')
    case 'backendPid':
      return answerOne(scope, numberField(action.column), String(state.connection.pid))
    case 'signal':
      return answerOne(scope, boolField(action.column), signalSession(state, action) ? 't' : 'f')
    case 'signalEach':
      return signalEach(state, scope, action)
    case 'currentSetting':
      return answerOne(scope, textField(action.column), examined(state, action.name))
    case 'reset':
      if (action.name === undefined) state.settings.resetAll()
      else resetSetting(state, action.name)
      report(state)
      return done('RESET')
    case 'alterSystem':
      await alterSystem(state, scope, action)
      return done('ALTER SYSTEM')
    case 'show':
      return action.name === undefined ? showAll(state, scope) : show(state, scope, sql, action.name)
    case 'discard':
      discard(state, action.target)
      return done(action.target === 'all' ? 'DISCARD ALL' : `DISCARD ${action.target.toUpperCase()}`)
    case 'prepare':
      await prepare(state, scope, action)
      return done('PREPARE')
    case 'execute':
      return executePrepared(state, scope, action)
    case 'deallocate':
      if (action.name === undefined) state.prepared.clear()
      else if (!state.prepared.delete(action.name)) throw noStatement(action.name)
      return done(action.name === undefined ? 'DEALLOCATE ALL' : 'DEALLOCATE')
    case 'declareCursor':
      await declareCursor(state, scope, action)
      return done('DECLARE CURSOR')
    case 'fetch':
      return state.cursors.fetch(action, scope.sink, scope.describe)
    case 'closeCursor':
      state.cursors.close(action.name)
      return done(action.name === undefined ? 'CLOSE CURSOR ALL' : 'CLOSE CURSOR')
    case 'unlisten':
      return done('UNLISTEN')
  }
}

/** One row of one column. */
function answerOne(scope: Scope, field: FieldDescription, value: string): void {
  answerAll(scope, field, [value])
}

/** Rows of one column. */
function answerAll(scope: Scope, field: FieldDescription, values: readonly (string | null)[]): void {
  if (scope.describe) scope.sink.send(rowDescription([field]))
  for (const value of values) scope.sink.send(dataRow([value]))
  scope.sink.send(commandComplete(`SELECT ${values.length}`))
}

function examined(state: SessionState, name: string): string {
  const value = knownValue(state, name)
  if (value === undefined) throw new SqlError('42501', `permission denied to examine "${name}"`)
  return value
}

/** Their numbers, one a row of what `sql` answers. */
async function sessionsMeant(state: SessionState, scope: Scope, sql: string): Promise<(string | null)[]> {
  const planned = scope.services.planner.planOne(sql, scope.view())
  if (planned.plan.kind === 'session') return [String(state.connection.pid)] // SELECT (pg_backend_pid())
  const sink = new CollectingSink(scope.gatherLimitBytes, 'the list of sessions')
  const { transaction } = scope
  await execute({ ...scope, transaction, sink, describe: false }, { planned, bound: undefined })
  return rowsOf(Buffer.concat(sink.rows)).map(([pid]) => pid ?? null)
}

async function signalEach(
  state: SessionState,
  scope: Scope,
  { how, sql, column }: Extract<SessionAction, { type: 'signalEach' }>,
): Promise<void> {
  const pids = await sessionsMeant(state, scope, sql)
  const answers = pids.map((pid) =>
    pid === null ? null : signalSession(state, { how, pid: Number(pid) }) ? 't' : 'f',
  )
  answerAll(scope, boolField(column), answers)
}

/** Columns that Describe tells of an action. */
export function actionFields(
  state: SessionState,
  action: SessionAction,
): readonly FieldDescription[] | undefined {
  switch (action.type) {
    case 'show':
      if (action.name === undefined) return SHOW_ALL_COLUMNS.map((name) => textField(name))
      return oneTextColumn(action.name)
    case 'setConfig':
      return oneTextColumn('set_config')
    case 'reloadConf':
    case 'signal':
    case 'signalEach':
      return [boolField(action.column)]
    case 'currentSetting':
      return [textField(action.column)]
    case 'backendPid':
      return [numberField(action.column)]
    case 'execute':
      return state.prepared.get(action.name)?.described.fields
    case 'fetch': {
      if (action.move) return undefined
      const bytes = state.cursors.fields(action.name)
      return bytes === undefined ? undefined : fieldsOfDescription(bytes)
    }
    default:
      return undefined
  }
}

function fieldsOfDescription(bytes: Buffer): readonly FieldDescription[] | undefined {
  return resultsOf(bytes)[0]?.fields
}

function discard(state: SessionState, target: Extract<SessionAction, { type: 'discard' }>['target']): void {
  if (target === 'all') {
    if (state.transaction !== undefined)
      throw new SqlError('25001', 'DISCARD ALL cannot run inside a transaction block')
    state.prepared.clear()
    state.cursors.close(undefined)
    state.settings.discard()
    report(state)
  }
}

/** The description of a text, from the cache that all sessions share. */
export async function describeText(
  state: SessionState,
  scope: Scope,
  text: string,
  types: readonly number[],
): Promise<Described> {
  const key = describeKey(text, types, scope.view().version, scope.settings.key)
  const known = state.describeCache.find(key)
  if (known !== undefined) return known
  const described = await describe(scope, text, types, (action) => actionFields(state, action))
  if (described.planned.plan.kind !== 'session') state.describeCache.keep(key, described)
  return described
}

/** The description as it is now: made anew when the schema or the settings have changed since. */
export async function currentDescription(
  state: SessionState,
  scope: Scope,
  prepared: Prepared,
): Promise<Described> {
  const { described } = prepared
  if (described.version === scope.view().version && described.settingsKey === scope.settings.key)
    return described
  prepared.described = await describeText(state, scope, prepared.text, prepared.types)
  return prepared.described
}

async function prepare(
  state: SessionState,
  scope: Scope,
  action: Extract<SessionAction, { type: 'prepare' }>,
): Promise<void> {
  if (state.prepared.has(action.name))
    throw new SqlError('42P05', `prepared statement "${action.name}" already exists`)
  const types = action.argTypes.length === 0 ? [] : await typeOids(scope, action.argTypes)
  const described = await describeText(state, scope, action.sql, types)
  state.prepared.set(action.name, { text: action.sql, types, described })
}

/** OIDs of types as written in SQL. */
async function typeOids(scope: Scope, names: readonly string[]): Promise<number[]> {
  const list = names.map((name) => `${literal(name)}::pg_catalog.regtype::pg_catalog.oid`).join(', ')
  const result = await runLocal(scope, { bytes: queryMessage(`SELECT ${list}`), syncs: 1, write: false })
  return (resultsOf(result.output)[0]?.rows[0] ?? []).map(Number)
}

async function executePrepared(
  state: SessionState,
  scope: Scope,
  action: Extract<SessionAction, { type: 'execute' }>,
): Promise<void> {
  const prepared = state.prepared.get(action.name)
  if (prepared === undefined) throw noStatement(action.name)
  const described = await currentDescription(state, scope, prepared)
  const { planned, types } = described
  if (planned.plan.kind === 'session') {
    throw new SqlError('0A000', `EXECUTE of a ${planned.plan.action.type} statement is not supported`, {
      hint: 'Run the statement itself.',
    })
  }
  if (action.args.length !== types.length) {
    throw new SqlError('42601', `wrong number of parameters for prepared statement "${action.name}"`, {
      detail: `Expected ${types.length} parameters but got ${action.args.length}.`,
    })
  }
  const values = action.constants ?? (await evaluate(scope, action.args, types))
  const bound: Bound | undefined =
    types.length === 0
      ? undefined
      : { types, params: values.map((value) => ({ value, format: 0 })), resultFormats: [] }
  const rows = bound === undefined ? undefined : describedRows(described, [])
  if (scope.describe && rows !== undefined) scope.sink.send(rows)
  await execute(bound === undefined ? scope : { ...scope, describe: false, transaction: scope.transaction }, {
    planned,
    bound,
  })
}

/** Arguments that are no plain constants are computed by the coordinator's engine. */
async function evaluate(
  scope: Scope,
  args: readonly string[],
  types: readonly number[],
): Promise<(string | null)[]> {
  const { snapshot } = scope.services.schema
  const list = args.map((arg, i) => `(${arg})::${snapshot.typeName(types[i] ?? 0) ?? 'text'}`).join(', ')
  const result = await runLocal(scope, { bytes: queryMessage(`SELECT ${list}`), syncs: 1, write: true })
  return [...(resultsOf(result.output)[0]?.rows[0] ?? [])]
}

async function declareCursor(
  state: SessionState,
  scope: Scope,
  action: Extract<SessionAction, { type: 'declareCursor' }>,
): Promise<void> {
  if (action.binary)
    throw new SqlError('0A000', 'binary cursors are not supported', {
      hint: 'Use the extended protocol with binary results.',
    })
  if (!action.hold && state.transaction?.explicit !== true)
    throw new SqlError('25P01', 'DECLARE CURSOR can only be used in transaction blocks')
  if (state.cursors.exists(action.name)) throw new SqlError('42P03', `cursor "${action.name}" already exists`)
  const planned = scope.services.planner.planOne(action.sql, scope.view())
  const sink = new CollectingSink(scope.gatherLimitBytes, `the result of cursor "${action.name}"`)
  const { transaction } = scope
  await execute({ ...scope, transaction, sink, describe: true }, { planned, bound: undefined })
  state.cursors.declare(action.name, sink, action)
}

function noStatement(name: string): SqlError {
  return new SqlError('26000', `prepared statement "${name}" does not exist`)
}
