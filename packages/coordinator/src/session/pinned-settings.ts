/** Settings of PostgreSQL with one value only: another one would break a promise of the cluster, or what the planner relies on. */
import { SqlError } from '../errors.ts'

const PINNED: Readonly<Record<string, { readonly value: string; readonly why: string }>> = {
  synchronous_commit: { value: 'on', why: 'A commit is answered only when it is durable on both copies.' },
  standard_conforming_strings: {
    value: 'on',
    why: 'Statements are placed by reading their string literals.',
  },
}

/** Throws 0A000 when a session may not have this value, wherever it comes from: SET, set_config, the role, the startup packet. */
export function refuseUnlessAllowed(name: string, value: string): void {
  const pinned = PINNED[name]
  if (pinned !== undefined && value.toLowerCase() !== pinned.value) {
    throw new SqlError('0A000', `${name} is always ${pinned.value}`, { hint: pinned.why })
  }
}
