/** Values of settings that the session or the cluster knows better than the coordinator's engine. */
import { formatSetting, parseSetting, type SettingName } from '@mirabelle/messages'
import type { TransactionModes } from '@mirabelle/sql'
import type { Services } from '../execute/scope.ts'
import { AUTHORIZATION, OWN_SETTINGS, ROLE, type SettingsOfSession } from './session-settings.ts'

/** What PostgreSQL reports by itself when it changes. */
export const REPORTED: Readonly<Record<string, string>> = {
  application_name: 'application_name',
  client_encoding: 'client_encoding',
  datestyle: 'DateStyle',
  default_transaction_read_only: 'default_transaction_read_only',
  in_hot_standby: 'in_hot_standby',
  integer_datetimes: 'integer_datetimes',
  intervalstyle: 'IntervalStyle',
  is_superuser: 'is_superuser',
  scram_iterations: 'scram_iterations',
  search_path: 'search_path',
  server_encoding: 'server_encoding',
  server_version: 'server_version',
  session_authorization: 'session_authorization',
  standard_conforming_strings: 'standard_conforming_strings',
  timezone: 'TimeZone',
}

/** What a session is asked for. */
interface KnowingSession {
  readonly transaction: { readonly modes: TransactionModes } | undefined
  readonly settings: SettingsOfSession
  readonly sessionUser: string
  readonly currentUser: string
  readonly services: Pick<Services, 'schema' | 'hooks'>
}

export function reportedValue(state: KnowingSession, name: string): string | undefined {
  if (name === AUTHORIZATION) return state.sessionUser
  if (name === 'is_superuser') return isSuperuser(state) ? 'on' : 'off'
  if (name === 'client_encoding') return state.settings.get(name) ?? 'UTF8'
  return state.settings.get(name) ?? state.services.schema.serverSetting(name)
}

/** What the session or the cluster knows better than an engine. */
export function knownValue(state: KnowingSession, name: string): string | undefined {
  const { modes } = state.transaction ?? { modes: undefined }
  if (name === 'transaction_isolation' && modes?.isolation !== undefined) return modes.isolation
  if (name === 'transaction_read_only' && modes?.readOnly !== undefined) return modes.readOnly ? 'on' : 'off'
  if (name === 'transaction_deferrable' && modes?.deferrable !== undefined)
    return modes.deferrable ? 'on' : 'off'
  if (name === AUTHORIZATION) return state.sessionUser
  if (name === ROLE) return state.settings.get(ROLE) ?? 'none'
  if (name === 'is_superuser' || name === 'client_encoding') return reportedValue(state, name)
  if (OWN_SETTINGS.has(name)) {
    const own = state.settings.get(name)
    if (own !== undefined) return formatSetting(name as SettingName, parseSetting(name as SettingName, own))
  }
  // Others are left to PostgreSQL, which refuses them.
  if (name === 'data_directory' && !isSuperuser(state)) return undefined
  return state.services.hooks.showSetting(name)
}

function isSuperuser(state: KnowingSession): boolean {
  return state.services.schema.snapshot.roles.get(state.currentUser)?.superuser === true
}
