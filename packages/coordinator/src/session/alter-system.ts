/** ALTER SYSTEM SET and RESET of the settings of the cluster. In force everywhere when it answers: no pg_reload_conf() is needed. */
import { isMirabelleError, isSettingName, resettableSettings } from '@mirabelle/messages'
import type { SessionAction } from '@mirabelle/sql'
import { SqlError } from '../errors.ts'
import type { Scope } from '../execute/scope.ts'
import type { SessionState } from './session-state.ts'

type AlterSystem = Extract<SessionAction, { readonly type: 'alterSystem' }>

export async function alterSystem(state: SessionState, scope: Scope, action: AlterSystem): Promise<void> {
  if (state.transaction !== undefined)
    throw new SqlError('25001', 'ALTER SYSTEM cannot run inside a transaction block')
  refuseUnlessMayAlter(state, action.name)
  const names = action.name === undefined ? resettableSettings : [action.name]
  const change = Object.fromEntries(names.map((name) => [name, action.value ?? null]))
  const results = await state.services.hooks.configure(change).catch((error: unknown) => {
    throw isMirabelleError(error, 'setting.invalid') ? new SqlError('22023', error.message) : error
  })
  const missing = results.filter(({ outcome }) => outcome === 'failed').map(({ dbid }) => dbid)
  if (missing.length > 0)
    scope.notice({
      severity: 'WARNING',
      code: '01000',
      message: `the change is recorded, but not in force yet on dbid ${missing.join(', ')}`,
      hint: 'An instance gets it when it is reached again; "mirabelle state" shows what is down.',
    })
}

function refuseUnlessMayAlter(state: SessionState, name: string | undefined): void {
  const { schema } = state.services
  if (name !== undefined && !isSettingName(name)) {
    if (schema.serverSetting(name) === undefined)
      throw new SqlError('42704', `unrecognized configuration parameter "${name}"`)
    throw new SqlError('0A000', `ALTER SYSTEM of "${name}" is not supported`, {
      hint: 'It changes settings of the cluster; use ALTER ROLE … SET, or ALTER ROLE ALL SET, for one of PostgreSQL.',
    })
  }
  if (schema.snapshot.roles.get(state.currentUser)?.superuser !== true)
    throw new SqlError(
      '42501',
      name === undefined
        ? 'permission denied to perform ALTER SYSTEM RESET ALL'
        : `permission denied to set parameter "${name}"`,
    )
}
