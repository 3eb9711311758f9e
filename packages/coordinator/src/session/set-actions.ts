/** SET, RESET, SHOW, set_config, roles: validated by the coordinator's PostgreSQL, kept by the session, told to the client. */
import { commandComplete, dataRow, rowDescription, rowsOf, splitAtReady, textField } from '@mirabelle/pgwire'
import { isSettingName, parseSetting, type SettingName } from '@mirabelle/messages'
import { literal } from '../catalog/catalog-sql.ts'
import { firstErrorMessage } from '../lanes/backend-bytes.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { SqlError } from '../errors.ts'
import { asBuffer } from '../execute/answer-stream.ts'
import { AnswerRelay } from '../execute/answer-relay.ts'
import { runLocal, runOn } from '../execute/run-on.ts'
import type { Scope } from '../execute/scope.ts'
import { AUTHORIZATION, OWN_SETTINGS, ROLE } from './session-settings.ts'
import { encoding, refuseGreenplumSetting, refuseUnlessAllowed } from '../execute/pinned-settings.ts'
import { knownValue, REPORTED, reportedValue } from './known-value.ts'
import type { SessionState } from './session-state.ts'

const SAVEPOINT = 'mirabelle_set'
const TRANSACTION_SETTINGS = new Set([
  'transaction_isolation',
  'transaction_read_only',
  'transaction_deferrable',
])

/** SET name = value; `sql` is the statement as written. */
export async function setSetting(
  state: SessionState,
  scope: Scope,
  sql: string,
  action: { readonly name: string; readonly value: string | undefined; readonly local: boolean },
): Promise<string> {
  const { name, value, local } = action
  if (TRANSACTION_SETTINGS.has(name)) {
    throw new SqlError('0A000', `${name} is set with SET TRANSACTION or BEGIN`, {
      hint: 'Write BEGIN ISOLATION LEVEL … or SET TRANSACTION ….',
    })
  }
  if (local && state.transaction === undefined) {
    scope.notice({
      severity: 'WARNING',
      code: '25P01',
      message: 'SET LOCAL can only be used in transaction blocks',
    })
    return ''
  }
  if (value !== undefined) refuseUnlessAllowed(name, value)
  const effective = value === undefined ? undefined : await validate(state, scope, sql, name, value)
  if (effective === undefined && !local) state.settings.reset(name)
  else state.settings.set(name, effective ?? (await serverDefault(state, name)), local)
  report(state)
  return state.settings.get(name) ?? ''
}

/** A local reset has to name the value. */
async function serverDefault(state: SessionState, name: string): Promise<string> {
  if (name === ROLE) return 'none'
  return state.services.schema.serverSetting(name) ?? ''
}

/** The value as PostgreSQL spells it. Throws what is wrong with it. */
async function validate(
  state: SessionState,
  scope: Scope,
  sql: string,
  name: string,
  value: string,
): Promise<string> {
  if (OWN_SETTINGS.has(name)) return ownValue(name as SettingName, value)
  refuseIfOfCluster(name)
  refuseGreenplumSetting(name)
  if (name === 'client_encoding') return encoding(value)
  if (name === ROLE || name === AUTHORIZATION) return role(state, scope, name, value)
  const [answer] = await bracketed(scope, [sql, `SELECT pg_catalog.current_setting(${literal(name)})`])
  return answer ?? value
}

/** RESET name. */
export function resetSetting(state: SessionState, name: string): void {
  if (!OWN_SETTINGS.has(name)) refuseIfOfCluster(name)
  state.settings.reset(name)
}

function refuseIfOfCluster(name: string): void {
  if (!isSettingName(name)) return
  throw new SqlError('55P02', `parameter "${name}" cannot be changed now`, {
    hint: 'It belongs to the whole cluster: use ALTER SYSTEM SET, or "mirabelle config set".',
  })
}

function ownValue(name: SettingName, value: string): string {
  try {
    parseSetting(name, value)
  } catch (error) {
    throw new SqlError('22023', (error as Error).message)
  }
  return value
}

async function role(state: SessionState, scope: Scope, name: string, value: string): Promise<string> {
  const login = state.services.schema.snapshot.roles.get(state.connection.user)
  if (name === AUTHORIZATION) {
    if (value !== state.connection.user && login?.superuser !== true) {
      throw new SqlError('42501', `permission denied to set session authorization "${value}"`)
    }
  } else if (value === 'none') return 'none'
  const question = mayBecomeSql(value)
  const [answer] = await bracketed(scope, ['SET LOCAL search_path = pg_catalog', question])
  if (name === ROLE) refuseUnlessMember(value, answer)
  else if (answer === undefined) throw roleMissing(value)
  return value
}

/** Asks PostgreSQL whether the user of the session may be this role: no row when there is none. (SET ROLE itself is not a client's to run.) */
export function mayBecomeSql(name: string): string {
  return `SELECT pg_catalog.pg_has_role(session_user, oid, 'SET') FROM pg_catalog.pg_roles WHERE rolname = ${literal(name)}`
}

/** Throws what PostgreSQL says to SET ROLE; `answer` is that of `mayBecomeSql`. */
export function refuseUnlessMember(name: string, answer: string | undefined): void {
  if (answer === undefined) throw roleMissing(name)
  if (answer !== 't') throw new SqlError('42501', `permission denied to set role "${name}"`)
}

function roleMissing(name: string): SqlError {
  return new SqlError('22023', `role "${name}" does not exist`)
}

/** Runs statements on the coordinator's engine and undoes them; answers the first column of the last one. */
async function bracketed(scope: Scope, [sql, question]: readonly [string, string]): Promise<string[]> {
  const inside = scope.transaction?.hasBegunOn(-1) === true
  const begin = inside ? `SAVEPOINT ${SAVEPOINT}` : 'BEGIN'
  const end = inside ? `ROLLBACK TO SAVEPOINT ${SAVEPOINT}; RELEASE SAVEPOINT ${SAVEPOINT}` : 'ROLLBACK'
  const result = await runLocal(scope, {
    bytes: Buffer.concat([begin, sql, question, end].map(queryMessage)),
    syncs: 4,
    write: false,
    settings: scope.fullSettings,
  })
  const error = firstErrorMessage(result.output)
  if (error !== undefined) throw SqlError.fromBytes(error)
  const pieces = splitAtReady(asBuffer(result.output))
  return rowsOf(pieces[2] ?? Buffer.alloc(0)).map((row) => row[0] ?? '')
}

/** Sends what has changed among the reported settings. */
export function report(state: SessionState): void {
  for (const [name, spelled] of Object.entries(REPORTED)) {
    const value = reportedValue(state, name)
    if (value !== undefined) state.connection.parameterStatus(spelled, value)
  }
}

/** SHOW name. */
export async function show(state: SessionState, scope: Scope, sql: string, name: string): Promise<void> {
  const value = knownValue(state, name)
  if (value !== undefined) {
    if (scope.describe) scope.sink.send(rowDescription([textField(REPORTED[name] ?? name)]))
    scope.sink.send(dataRow([value]))
    return scope.sink.send(commandComplete('SHOW'))
  }
  refuseGreenplumSetting(name)
  const relay = await runOn({ ...scope, transaction: undefined, settings: scope.fullSettings }, [-1], {
    write: false,
    part: () => ({ bytes: queryMessage(sql) }),
    relay: () => new AnswerRelay(scope.sink, { describe: scope.describe }),
  })
  relay.finish()
}
