/**
 * Functions and relations of Greenplum's, and functions of PostgreSQL's that act on one instance, which are not here: refused with what does the
 * same here, or says why nothing does.
 */
import type { CatalogView } from './catalog.ts'
import { notSupported } from './errors.ts'

type Hints = readonly (readonly [names: RegExp, hint: string])[]

const WAL_SWITCH =
  'WAL is streamed to the mirror as it is written: no segment file has to be finished. CHECKPOINT makes a checkpoint everywhere.'
const SLOTS =
  'Each primary has the slot of its mirror, made and dropped by the cluster; "mirabelle state -s" shows what it keeps.'
const NO_ARCHIVE =
  'There is no WAL archive to recover from: the copies are the mirrors and the standby coordinator.'

/** Functions of PostgreSQL that act on the process of one instance behind the cluster's back. */
const CLUSTER_FUNCTIONS: Hints = [
  [
    /^pg_promote$/,
    'Use "mirabelle standby activate" for the coordinator; FTS promotes mirrors, "mirabelle rebalance" gives roles back.',
  ],
  [/^pg_switch_wal$/, WAL_SWITCH],
  [
    /^pg_backup_(start|stop)$/,
    'Copies of instances are made by "mirabelle recover", "mirrors add" and "standby init".',
  ],
  [
    /^pg_(create|copy)_(physical|logical)_replication_slot$|^pg_(drop_replication_slot|replication_slot_advance)$/,
    SLOTS,
  ],
  [/^pg_create_restore_point$/, NO_ARCHIVE],
  [/^pg_wal_replay_(pause|resume)$/, 'A mirror replays all the time: its promotion depends on it.'],
  [/^pg_export_snapshot$/, 'Use one session: its transactions see one state of all segments.'],
  [
    /^pg_log_standby_snapshot$/,
    'Checkpoints write it; mirrors and the standby coordinator answer no queries.',
  ],
  [/^pg_rotate_logfile$/, 'Each instance writes log/mirabelle.log in its folder and rotates it by itself.'],
]

const FAULTS =
  'Use "mirabelle fault inject", on processes that were started with fault points allowed: see docs/fault-points.md.'

const GREENPLUM_FUNCTIONS: Hints = [
  [
    /^gp_(inject_fault|inject_fault2|inject_fault_infinite|inject_fault_infinite2|wait_until_triggered_fault|force_mirrors_down)$/,
    FAULTS,
  ],
  [
    /^gp_(add_segment|add_segment_mirror|remove_segment|remove_segment_mirror)$/,
    'Use "mirabelle mirrors add", "mirrors move" or "mirrors remove".',
  ],
  [
    /^gp_add_segment_primary$/,
    'Segments cannot be added to a cluster yet: "mirabelle init --segments N" makes one with more.',
  ],
  [/^gp_add_(master|coordinator)_standby$/, 'Use "mirabelle standby init".'],
  [/^gp_remove_(master|coordinator)_standby$/, 'Use "mirabelle standby remove".'],
  [/^gp_activate_standby$/, 'Use "mirabelle standby activate".'],
  [/^gp_switch_wal$/, WAL_SWITCH],
  [/^gp_create_restore_point$/, NO_ARCHIVE],
  [/^gp_dist_wait_status$/, 'gp_stat_activity shows which segments each session holds.'],
  [/^gp_dist_random$/, "Write it in FROM, with the name of a relation: FROM gp_dist_random('pg_class')."],
  [
    /^gp_(opt_version|enable_xform|disable_xform)$/,
    'Statements are planned by PostgreSQL: EXPLAIN shows how.',
  ],
  [
    /^gp_(distributed_xid|distributed_xact_.*)$/,
    'Transactions in doubt are shown by "mirabelle state"; segment by segment: SELECT gp_segment_id, gid FROM gp_dist_random(\'pg_prepared_xacts\').',
  ],
]

const GREENPLUM_RELATIONS: Hints = [
  [
    /^gp_distributed_(xacts|log)$|^gp_transaction_log$/,
    'Transactions in doubt are shown by "mirabelle state"; segment by segment: SELECT gp_segment_id, gid FROM gp_dist_random(\'pg_prepared_xacts\').',
  ],
  [/^gp_pgdatabase$/, 'Use gp_segment_configuration.'],
  [
    /^gp_fault_strategy$/,
    'Use "mirabelle state", or gp_segment_configuration: clusters with mirrors have rows of role m.',
  ],
  [/^gp_version_at_initdb$/, 'Use gp_segment_status, or "mirabelle state -i".'],
  [/^gp_stat_wal_receiver$/, 'Use gp_stat_replication: its rows are those of the walsenders.'],
  [/^gp_stat_archiver$/, NO_ARCHIVE],
  [/^(gp_(segment_)?endpoints|gp_session_endpoints)$/, 'Use DECLARE … CURSOR.'],
  [/^(pg|gp)_res(queue|group|queuecapability|groupcapability)/, 'There are no resource queues and groups.'],
  [/^(pg_appendonly|gp_fastsequence|pg_exttable)$/, 'There are heap tables only.'],
]

/** What to do in place of calling a function that is the cluster's alone; undefined for others. */
export function clusterFunctionHint(name: string): string | undefined {
  return hintOf(CLUSTER_FUNCTIONS, name)
}

/** Throws 0A000 for a function of Greenplum that does not exist here. */
export function refuseGreenplumFunction(name: string): void {
  const hint = hintOf(GREENPLUM_FUNCTIONS, name)
  if (hint !== undefined) throw notSupported(`${name} is not supported`, hint)
}

/** Throws 0A000 for a relation of Greenplum that does not exist here. */
export function refuseGreenplumRelation(
  catalog: CatalogView,
  schema: string | undefined,
  name: string,
): void {
  if (schema === 'gp_toolkit')
    throw notSupported(
      `gp_toolkit.${name} is not supported: there is no schema gp_toolkit`,
      'gp_segment_status, gp_stat_replication, gp_stat_activity and "mirabelle state" show the cluster; each instance has its log in log/mirabelle.log.',
    )
  const hint = hintOf(GREENPLUM_RELATIONS, name) ?? segmentViewHint(catalog, name)
  if (hint !== undefined && (schema === undefined || schema === 'pg_catalog'))
    throw notSupported(`${name} is not supported`, hint)
}

/** Greenplum 7 has a view gp_X over all segments for many a pg_X. */
function segmentViewHint(catalog: CatalogView, name: string): string | undefined {
  const one = name.startsWith('gp_') ? `pg_${name.slice('gp_'.length)}` : undefined
  const table = one === undefined ? undefined : catalog.lookup('pg_catalog', one)
  if (one === undefined || table === undefined || table.live !== undefined) return undefined
  return `Use SELECT gp_segment_id, * FROM gp_dist_random('${one}').`
}

function hintOf(hints: Hints, name: string): string | undefined {
  return hints.find(([names]) => names.test(name))?.[1]
}
