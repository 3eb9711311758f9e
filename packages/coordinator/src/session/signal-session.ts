/** pg_cancel_backend and pg_terminate_backend: who may, and what is told. The rules and words are PostgreSQL's. */
import type { SessionAction } from '@mirabelle/sql'
import { SqlError } from '../errors.ts'
import type { SessionState } from './session-state.ts'

/** Cancels what a session runs, or ends it. False, with a warning, when there is none. Throws 42501. */
export function signalSession(
  state: SessionState,
  { how, pid }: Pick<Extract<SessionAction, { type: 'signal' }>, 'how' | 'pid'>,
): boolean {
  const { sessions, schema, hooks } = state.services
  const session = sessions.get(pid)
  if (session === undefined) {
    state.connection.notice({
      severity: 'WARNING',
      code: '01000',
      message: `PID ${pid} is not a PostgreSQL backend process`,
    })
    return false
  }
  const { roles } = schema.committed
  const { user } = session.activity
  if (roles.get(state.currentUser)?.superuser !== true && state.currentUser !== user) {
    const detail =
      roles.get(user)?.superuser === true
        ? `Only roles with the SUPERUSER attribute may ${how} ${how === 'cancel' ? 'queries' : 'processes'} of roles with the SUPERUSER attribute.`
        : `Only superusers and the role of the process may ${how} it.`
    throw new SqlError('42501', `permission denied to ${how} ${how === 'cancel' ? 'query' : 'process'}`, {
      detail,
    })
  }
  return hooks.signal(pid, how)
}
