/** The open sessions, for those who look at them from outside: pg_stat_activity, pg_cancel_backend, pg_terminate_backend. */
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

export interface ListedSession {
  readonly activity: SessionActivity
  cancel(): void
  /** Ends it with 57P01. */
  terminate(): void
}

export class SessionDirectory {
  readonly #sessions = new Map<number, ListedSession>()

  add(pid: number, session: ListedSession): void {
    this.#sessions.set(pid, session)
  }
  remove(pid: number): void {
    this.#sessions.delete(pid)
  }
  find(pid: number): ListedSession | undefined {
    return this.#sessions.get(pid)
  }
  /** By number. */
  activities(): SessionActivity[] {
    return [...this.#sessions.values()].map(({ activity }) => activity).sort((a, b) => a.pid - b.pid)
  }
}
