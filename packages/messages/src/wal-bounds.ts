/** What `state` and gp_segment_status say of the WAL that is kept, from what an instance says of itself. */
import type { MessageOf } from './message.ts'

type Status = MessageOf<'instance.statusIs'>

/** WAL that a restart of a mirror replays, bytes; null for others, and while its base is not known. */
export function walSinceBase({ role, baseLsn, flushLsn }: Status): number | null {
  return role === 'm' && baseLsn > 0 ? Math.max(0, flushLsn - baseLsn) : null
}

/** WAL that a primary keeps for its mirror, bytes; null for others, and while its slot is not known. */
export function walKept({ role, slotLsn, flushLsn }: Status): number | null {
  return role === 'p' && slotLsn > 0 ? Math.max(0, flushLsn - slotLsn) : null
}
