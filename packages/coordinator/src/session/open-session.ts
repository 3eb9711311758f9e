/** What a session has at login: the settings of its role, then those of the startup packet, each proved by the coordinator's PostgreSQL. */
import { readErrorFields, rowsOf, type ClientConnection } from '@mirabelle/pgwire'
import { settingsCatalog } from '@mirabelle/messages'
import { literal } from '../catalog/catalog-sql.ts'
import type { Services } from '../execute/scope.ts'
import { SqlError } from '../errors.ts'
import { firstErrorMessage } from '../lanes/backend-bytes.ts'
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { NO_SETTINGS, type SessionSettings } from '../lanes/lane-item.ts'
import type { DescribeCache } from './describe.ts'
import { encoding, refuseUnlessAllowed } from '../execute/pinned-settings.ts'
import { AUTHORIZATION, OWN_SETTINGS, ROLE, SettingsOfSession } from './session-settings.ts'
import { SessionState } from './session-state.ts'
import { mayBecomeSql, refuseUnlessMember } from './set-actions.ts'

/** They need no proof by an engine. */
const TAKEN_AS_THEY_ARE = new Set(['application_name', ...OWN_SETTINGS])

export async function openSessionState(options: {
  readonly services: Services
  readonly connection: ClientConnection
  readonly superuser: string
  readonly describeCache: DescribeCache
}): Promise<SessionState> {
  const { services, connection, superuser } = options
  const role = services.schema.snapshot.roles.get(connection.user)
  if (role === undefined) throw new SqlError('28000', `role "${connection.user}" does not exist`)
  if (!role.canLogin) throw new SqlError('28000', `role "${connection.user}" is not permitted to log in`)
  const defaults = new Map<string, string>()
  if (connection.user !== superuser) defaults.set(AUTHORIZATION, connection.user)
  const login = new SettingsOfSession(new Map(defaults)).full
  const asked = [...connection.settings].map(([name, value]) => [name.toLowerCase(), value] as const)
  const isAsked = new Set(asked.map(([name]) => name))
  // Given to the role by somebody who might. What cannot be had any more must not lock the role out.
  for (const setting of role.settings) {
    if (isAsked.has(setting[0])) continue
    try {
      await take(services, [setting], NO_SETTINGS, login, defaults)
    } catch (error) {
      if (!(error instanceof SqlError)) throw error
      const wire = error.wire === undefined ? undefined : Buffer.from(error.wire)
      const reason = wire === undefined ? error.message : readErrorFields(wire, 0, wire.length).message
      connection.notice({
        severity: 'WARNING',
        code: '01000',
        message: `the setting ${setting[0]} of role "${connection.user}" is left out: ${reason}`,
      })
    }
  }
  // The client may do less.
  await take(services, asked, login, login, defaults)
  return new SessionState({ ...options, settings: new SettingsOfSession(defaults) })
}

/** Adds settings to those of a session, in the words of PostgreSQL. Throws what is wrong with one. */
async function take(
  services: Services,
  settings: readonly Setting[],
  as: SessionSettings,
  login: SessionSettings,
  taken: Map<string, string>,
): Promise<void> {
  const toProve: Setting[] = []
  for (const [name, value] of settings) {
    refuseUnlessAllowed(name, value)
    if (name === 'client_encoding') {
      if (encoding(value) !== 'UTF8') taken.set(name, encoding(value))
    } else if (TAKEN_AS_THEY_ARE.has(name)) taken.set(name, value)
    else if (Object.hasOwn(settingsCatalog, name) || name === 'is_superuser' || name === AUTHORIZATION) {
      throw new SqlError('55P02', `parameter "${name}" cannot be set at the start of a connection`)
    } else if (name === ROLE) {
      if (value !== 'none') refuseUnlessMember(value, await firstValue(services, mayBecomeSql(value), login))
      taken.set(name, value)
    } else toProve.push([name, value])
  }
  for (const [name, value] of await proved(services, toProve, as)) {
    if (services.schema.serverSetting(name) !== value) taken.set(name, value)
  }
}

type Setting = readonly [name: string, value: string]

/** The values as PostgreSQL spells them, when `as` may set them. */
async function proved(
  services: Services,
  settings: readonly Setting[],
  as: SessionSettings,
): Promise<Setting[]> {
  if (settings.length === 0) return []
  const calls = settings.map(
    ([name, value]) => `pg_catalog.set_config(${literal(name)}, ${literal(value)}, true)`,
  )
  const row = await firstRow(services, `SELECT ${calls.join(', ')}`, as)
  return settings.map(([name, value], i) => [name, row[i] ?? value] as const)
}

async function firstRow(
  services: Services,
  sql: string,
  as: SessionSettings,
): Promise<readonly (string | null)[]> {
  const result = await services.dispatcher.runOne(-1, {
    bytes: queryMessage(sql),
    syncs: 1,
    settings: as,
    write: false,
  }).promise
  const error = firstErrorMessage(result.output)
  if (error !== undefined) throw SqlError.fromBytes(error)
  return rowsOf(result.output)[0] ?? []
}

async function firstValue(services: Services, sql: string, as: SessionSettings): Promise<string | undefined> {
  return (await firstRow(services, sql, as))[0] ?? undefined
}
