/** What the command line and the coordinator make of a row of `state` in the same way. */
import type { InstanceStateRow } from './protocol/instance-messages.ts'

/** How long the PostgreSQL of a mirror may take to start before that is told, s. */
const START_WORTH_TELLING_S = 60

/**
 * Its process does what its role asks for. A mirror that has all of the WAL does, while its PostgreSQL still starts on it: nothing can be lost, a
 * failover would wait for the start.
 */
export function doesItsPart({ role, state, status, mode, uptime_s }: InstanceStateRow): boolean {
  if (role === 'p') return state === 'primary'
  if (state === 'starting') return status === 'u' && mode === 's' && (uptime_s ?? 0) < START_WORTH_TELLING_S
  return state === 'mirror'
}
