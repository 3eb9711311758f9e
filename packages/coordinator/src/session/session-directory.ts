/** What sessions do, for those who look at them from outside: pg_stat_activity, pg_cancel_backend, pg_terminate_backend. */
import type { Peer } from '@mirabelle/pgwire'

/** What a session does. Times are ms since 1970. */
export interface SessionActivity {
  readonly pid: number
  readonly user: string
  readonly applicationName: string
  readonly peer: Peer
  readonly beganAt: number
  readonly transactionAt: number | undefined
  /** Its statement, or the last one it had. */
  readonly sql: string
  readonly statementAt: number | undefined
  readonly changedAt: number
  readonly state: 'active' | 'idle' | 'idle in transaction' | 'idle in transaction (aborted)'
  /** Contents whose lanes its transaction holds: others wait for them. */
  readonly lanes: readonly number[]
}

/** The open sessions, by number. */
export type SessionDirectory = ReadonlyMap<number, { readonly activity: SessionActivity }>

/** In the order of their numbers. */
export function activitiesOf(sessions: SessionDirectory): SessionActivity[] {
  return [...sessions.values()].map(({ activity }) => activity).sort((a, b) => a.pid - b.pid)
}
