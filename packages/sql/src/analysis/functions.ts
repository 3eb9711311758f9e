/**
 * Where a function may run. PostgreSQL's volatility says most; the rest are functions whose meaning is tied to one session or instance.
 */
import type { CatalogView, FunctionInfo } from '../catalog.ts'
import { notSupported } from '../errors.ts'
import { clusterFunctionHint, refuseGreenplumFunction } from '../greenplum-names.ts'

/** `constant`: same result everywhere; `stable`: same within a statement on one instance; `local`: differs with every call, but any instance
 * will do (random()); `coordinator`: only there (sequences, instance state, not known). */
export type Placement = 'constant' | 'stable' | 'local' | 'coordinator'

const LOCAL = new Set([
  'random',
  'random_normal',
  'gen_random_uuid',
  'uuidv4',
  'uuidv7',
  'clock_timestamp',
  'timeofday',
])
const ANYWHERE_IN_SPITE_OF_NAME = new Set([
  'pg_typeof',
  'pg_column_size',
  'pg_size_pretty',
  'pg_size_bytes',
  'pg_input_is_valid',
])
const SESSION_LOCKS = /^pg_(try_)?advisory_/
const SIGNALS = [
  'pg_cancel_backend and pg_terminate_backend are supported only as the one column of a SELECT over relations of the coordinator',
  'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE …, or with the number of a session.',
] as const
const REFUSED: Record<string, readonly [string, string]> = {
  pg_notify: ['LISTEN and NOTIFY are not supported', 'Use a table that is polled, or a message broker.'],
  currval: ["currval is not supported: it would be another session's", 'Use RETURNING.'],
  lastval: ["lastval is not supported: it would be another session's", 'Use RETURNING.'],
  set_config: ['set_config is supported only as a SELECT of its own with constants', 'Use SET.'],
  pg_reload_conf: [
    'pg_reload_conf is supported only as a SELECT of its own',
    'Leave it out: ALTER SYSTEM is in force at once.',
  ],
  pg_cancel_backend: SIGNALS,
  pg_terminate_backend: SIGNALS,
  gp_segment_id: ['gp_segment_id is a column, not a function', 'Write table.gp_segment_id.'],
  dblink: ['dblink is not supported', 'Connect from the application.'],
}

export function placementOf(info: FunctionInfo | undefined, name: string): Placement {
  if (info === undefined) return 'coordinator'
  if (!info.userDefined) {
    if (LOCAL.has(name)) return 'local'
    if (/^(pg_|txid_|inet_|lo_|has_)/.test(name) && !ANYWHERE_IN_SPITE_OF_NAME.has(name)) return 'coordinator'
  }
  if (info.volatility === 'immutable') return 'constant'
  if (info.volatility === 'stable' && readsNoTable(info)) return 'stable'
  return 'coordinator'
}

function readsNoTable(info: FunctionInfo): boolean {
  return !info.userDefined || info.volatility === 'immutable' || info.touchesDistributed === false
}

/** Throws for functions that would silently do something else here than in PostgreSQL. */
export function refuseFunction(info: FunctionInfo | undefined, name: string): void {
  if (info?.userDefined !== true) {
    if (SESSION_LOCKS.test(name)) {
      throw notSupported(
        'advisory locks are not supported',
        'Use a row of a table: SELECT … FOR UPDATE by distribution key.',
      )
    }
    const hint = clusterFunctionHint(name)
    if (hint !== undefined) throw notSupported(`${name} is reserved to the cluster`, hint)
    const refused = REFUSED[name]
    if (refused !== undefined) throw notSupported(refused[0], refused[1])
    if (info === undefined) refuseGreenplumFunction(name)
  } else if (!readsNoTable(info)) {
    throw notSupported(
      `function ${name} may touch distributed tables or change the schema: a function runs on one instance only`,
      'Run the statements of the function from the application, or declare the function IMMUTABLE if it touches no table.',
    )
  }
}

export function lookupCall(catalog: CatalogView, names: readonly string[]): FunctionInfo | undefined {
  const name = names[names.length - 1] ?? ''
  return catalog.lookupFunction(names.length > 1 ? names[names.length - 2] : undefined, name)
}
