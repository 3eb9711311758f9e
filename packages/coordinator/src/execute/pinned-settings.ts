/** Settings of PostgreSQL with one value only: another one would break a promise of the cluster, or what the planner relies on. */
import { SqlError } from '../errors.ts'

const PINNED: Readonly<Record<string, { readonly value: string; readonly why: string }>> = {
  synchronous_commit: { value: 'on', why: 'A commit is answered only when it is durable on both copies.' },
  standard_conforming_strings: {
    value: 'on',
    why: 'Statements are placed by reading their string literals.',
  },
}

/** Throws 0A000 when a session may not have this value, wherever it comes from: SET, set_config, the role, the startup packet; nor a role or a function. */
export function refuseUnlessAllowed(name: string, value: string): void {
  if (name.startsWith('mirabelle.'))
    throw new SqlError('55P02', `parameter "${name}" cannot be changed`, { hint: "It is the cluster's own." })
  const pinned = PINNED[name]
  if (pinned !== undefined && value.toLowerCase() !== pinned.value) {
    throw new SqlError('0A000', `${name} is always ${pinned.value}`, { hint: pinned.why })
  }
  if (name === 'client_encoding') encoding(value)
}

/** `client_encoding` as the session has it: all bytes are UTF-8 here; SQL_ASCII promises nothing, so it is true too. Throws 0A000. */
export function encoding(value: string): string {
  const plain = value.replace(/[^A-Za-z0-9]/g, '').toLowerCase()
  if (plain === 'utf8' || plain === 'unicode') return 'UTF8'
  if (plain === 'sqlascii') return 'SQL_ASCII'
  throw new SqlError('0A000', `conversion between ${value} and UTF8 is not supported`, {
    hint: 'Set client_encoding to UTF8.',
  })
}

/** Throws 42704 for a setting of Greenplum's that is not here, with what is. */
export function refuseGreenplumSetting(name: string): void {
  if (!/^(gp_|optimizer(_|$)|dtx_|runaway_detector_|max_resource_|memory_spill_ratio)/.test(name)) return
  throw new SqlError('42704', `unrecognized configuration parameter "${name}"`, {
    hint:
      name === 'gp_role' || name === 'gp_session_role'
        ? "Clients are served by the coordinator only; gp_dist_random('…') reads relations of the segments."
        : 'Greenplum has it, this cluster does not: "mirabelle config list" shows its settings.',
  })
}
