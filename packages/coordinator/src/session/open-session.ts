/** What a session has at login: the settings of its role, then those of the startup packet, each proved by the coordinator's PostgreSQL. */
import type { ClientConnection } from '@mirabelle/pgwire'
import { settingsCatalog } from '@mirabelle/messages'
import { literal } from '../catalog/catalog-sql.ts'
import type { Services } from '../execute/scope.ts'
import { SqlError } from '../errors.ts'
import { NO_SETTINGS, type SessionSettings } from '../lanes/lane-item.ts'
import type { DescribeCache } from './describe.ts'
import { encoding, refuseGreenplumSetting, refuseUnlessAllowed } from '../execute/pinned-settings.ts'
import type { LoginAnswers } from './login-answers.ts'
import { AUTHORIZATION, OWN_SETTINGS, ROLE, SESSION_PID, SettingsOfSession } from './session-settings.ts'
import { errorFields, SessionState } from './session-state.ts'
import { mayBecomeSql, refuseUnlessMember } from './set-actions.ts'

/** They need no proof by an engine. */
const TAKEN_AS_THEY_ARE = new Set(['application_name', ...OWN_SETTINGS])

export async function openSessionState(options: {
  readonly services: Services
  readonly connection: ClientConnection
  readonly superuser: string
  readonly describeCache: DescribeCache
  readonly answers: LoginAnswers
}): Promise<SessionState> {
  const { services, connection, superuser, answers } = options
  const { schema } = services
  const role = schema.committed.roles.get(connection.user)
  if (role === undefined) throw new SqlError('28000', `role "${connection.user}" does not exist`)
  if (!role.canLogin) throw new SqlError('28000', `role "${connection.user}" is not permitted to log in`)
  const defaults = new Map<string, string>()
  if (connection.user !== superuser) defaults.set(AUTHORIZATION, connection.user)
  const login = new SettingsOfSession(new Map(defaults)).full
  const take = (settings: readonly Setting[], as: SessionSettings): Promise<void> =>
    takeSettings(settings, { schema, answers, as, login, taken: defaults })
  const asked = new Map([...connection.settings].map(([name, value]) => [name.toLowerCase(), value]))
  // Given to the role by somebody who might. What cannot be had any more must not lock the role out.
  for (const setting of role.settings) {
    if (asked.has(setting[0])) continue
    try {
      await take([setting], NO_SETTINGS)
    } catch (error) {
      if (!(error instanceof SqlError)) throw error
      connection.notice({
        severity: 'WARNING',
        code: '01000',
        message: `the setting ${setting[0]} of role "${connection.user}" is left out: ${errorFields(error).message}`,
      })
    }
  }
  // The client may do less.
  await take([...asked], login)
  defaults.set(SESSION_PID, String(connection.pid))
  return new SessionState({ ...options, settings: new SettingsOfSession(defaults) })
}

type Setting = readonly [name: string, value: string]

/** Adds settings to those of a session, in the words of PostgreSQL. Throws what is wrong with one. */
async function takeSettings(
  settings: readonly Setting[],
  to: {
    readonly schema: Services['schema']
    readonly answers: LoginAnswers
    /** Who sets them. */
    readonly as: SessionSettings
    readonly login: SessionSettings
    readonly taken: Map<string, string>
  },
): Promise<void> {
  const { schema, answers, as, login, taken } = to
  const toProve: Setting[] = []
  for (const [name, value] of settings) {
    refuseUnlessAllowed(name, value)
    if (!Object.hasOwn(settingsCatalog, name)) refuseGreenplumSetting(name)
    if (name === 'client_encoding') {
      if (encoding(value) !== 'UTF8') taken.set(name, encoding(value))
    } else if (TAKEN_AS_THEY_ARE.has(name)) taken.set(name, value)
    else if (Object.hasOwn(settingsCatalog, name) || name === 'is_superuser' || name === AUTHORIZATION) {
      throw new SqlError('55P02', `parameter "${name}" cannot be set at the start of a connection`)
    } else if (name === ROLE) {
      const [may] = value === 'none' ? ['t'] : await answers.firstRow(mayBecomeSql(value), login)
      refuseUnlessMember(value, may ?? undefined)
      taken.set(name, value)
    } else toProve.push([name, value])
  }
  if (toProve.length === 0) return
  const calls = toProve.map(
    ([name, value]) => `pg_catalog.set_config(${literal(name)}, ${literal(value)}, true)`,
  )
  const spelled = await answers.firstRow(`SELECT ${calls.join(', ')}`, as)
  for (const [i, [name, value]] of toProve.entries()) {
    const own = spelled[i] ?? value
    if (schema.serverSetting(name) !== own) taken.set(name, own)
  }
}
