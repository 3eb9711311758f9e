/** All settings (architecture §7): the table from which docs/settings.md is generated. Their texts are read and written in setting-values.ts. */

export interface SettingEntry {
  readonly kind: 'ms' | 'int' | 'bool' | 'bytes' | 'enum' | 'text'
  readonly default: number | boolean | string
  readonly min?: number
  readonly max?: number
  /** Unit of a number that has none: the one that PostgreSQL or Greenplum gives the setting. */
  readonly unit?: 'ms' | 's' | 'B' | 'kB' | 'MB'
  readonly values?: readonly string[]
  /** Takes effect without a restart. */
  readonly reload: boolean
  readonly doc: string
}

const MINUTE = 60_000
const MIB = 1024 * 1024

export const settingsCatalog = {
  gp_fts_probe_interval: {
    kind: 'ms',
    unit: 's',
    default: 5_000,
    min: 100,
    max: 3_600_000,
    reload: true,
    doc: 'Time between FTS cycles. FTS also acts on events in between. Greenplum: 60 s.',
  },
  gp_fts_probe_timeout: {
    kind: 'ms',
    unit: 's',
    default: 1_000,
    min: 10,
    max: 3_600_000,
    reload: true,
    doc: 'How long one probe attempt may take. Greenplum: 20 s.',
  },
  gp_fts_probe_retries: {
    kind: 'int',
    default: 2,
    min: 0,
    max: 100,
    reload: true,
    doc: 'Attempts after the first, 200 ms apart. Greenplum: 5.',
  },
  gp_fts_mark_mirror_down_grace_period: {
    kind: 'ms',
    unit: 's',
    default: 3_000,
    min: 0,
    max: 3_600_000,
    reload: true,
    doc: 'How long commits may wait for a mirror that is gone but may come back, before it is marked down. A death certificate ends it at once. Greenplum: 30 s.',
  },
  gp_fts_replication_attempt_count: {
    kind: 'int',
    default: 10,
    min: 0,
    max: 100,
    reload: true,
    doc: 'Connection attempts of a mirror without success, after which the grace period does not apply.',
  },
  wal_sender_timeout: {
    kind: 'ms',
    unit: 'ms',
    default: 5_000,
    min: 100,
    max: 3_600_000,
    reload: true,
    doc: 'A walsender gives up after so long without a word from its walreceiver.',
  },
  wal_receiver_timeout: {
    kind: 'ms',
    unit: 'ms',
    default: 5_000,
    min: 100,
    max: 3_600_000,
    reload: true,
    doc: 'A walreceiver gives up after so long without a word from its walsender.',
  },
  max_slot_wal_keep_size: {
    kind: 'bytes',
    unit: 'MB',
    default: 4096 * MIB,
    min: 16 * MIB,
    max: 2 ** 50,
    reload: true,
    doc: 'WAL kept for a mirror that is away. Beyond it the mirror needs a differential copy.',
  },
  checkpoint_timeout: {
    kind: 'ms',
    unit: 's',
    default: 5 * MINUTE,
    min: 1_000,
    max: 24 * 60 * MINUTE,
    reload: true,
    doc: 'Longest time between checkpoints of a primary that writes.',
  },
  max_wal_size: {
    kind: 'bytes',
    unit: 'MB',
    default: 1024 * MIB,
    min: 8 * MIB,
    max: 2 ** 50,
    reload: true,
    doc: 'A checkpoint is made after so much WAL.',
  },
  mirror_base_refresh_size: {
    kind: 'bytes',
    unit: 'MB',
    default: 1024 * MIB,
    min: 0,
    max: 2 ** 50,
    reload: true,
    doc: 'A mirror refreshes its base after so much WAL, which bounds its restart and its WAL on disk. Each refresh compares the whole data directory with the primary’s. 0 = never.',
  },
  statement_timeout: {
    kind: 'ms',
    unit: 'ms',
    default: 0,
    min: 0,
    max: 2 ** 31 - 1,
    reload: true,
    doc: 'Cancels a statement that runs longer (57014). 0 = never.',
  },
  lock_timeout: {
    kind: 'ms',
    unit: 'ms',
    default: 0,
    min: 0,
    max: 2 ** 31 - 1,
    reload: true,
    doc: 'Longest wait for a lane (55P03). 0 = no limit.',
  },
  idle_in_transaction_session_timeout: {
    kind: 'ms',
    unit: 'ms',
    default: MINUTE,
    min: 0,
    max: 2 ** 31 - 1,
    reload: true,
    doc: 'Ends a session that idles in a transaction, since it holds lanes (25P03). 0 = never.',
  },
  failover_timeout: {
    kind: 'ms',
    unit: 'ms',
    default: 30_000,
    min: 0,
    max: 3_600_000,
    reload: true,
    doc: 'How long statements wait for a content that is failing over.',
  },
  mirrorless_policy: {
    kind: 'enum',
    default: 'shutdown',
    values: ['shutdown', 'refuse'],
    reload: true,
    doc: 'What a cluster without mirrors does when a segment dies: shut down, or refuse the statements that need it.',
  },
  autovacuum: {
    kind: 'bool',
    default: true,
    reload: true,
    doc: 'Vacuum and analyse when a lane is idle. Off, only what prevents the wraparound of transaction numbers is done.',
  },
  loopback_trust: {
    kind: 'bool',
    default: false,
    reload: true,
    doc: 'Clients from loopback addresses need no password. The localhost quick start turns it on.',
  },
  superuser_reserved_connections: {
    kind: 'int',
    default: 3,
    min: 0,
    max: 10_000,
    reload: true,
    doc: 'The last of max_connections are kept for superusers, so that an administrator gets in when clients have taken all others.',
  },
  authentication_timeout: {
    kind: 'ms',
    unit: 's',
    default: MINUTE,
    min: 1_000,
    max: 10 * MINUTE,
    reload: true,
    doc: 'A client that has not logged in after so long is disconnected.',
  },
  require_secure_transport: {
    kind: 'bool',
    default: false,
    reload: true,
    doc: 'Clients that are not on loopback must use TLS; others are refused (28000). Needs server.crt and server.key in the folder of the coordinator, and of its standby.',
  },
  max_connections: {
    kind: 'int',
    default: 200,
    min: 1,
    max: 10_000,
    reload: true,
    doc: 'Client connections of the coordinator. Those that are open when it is lowered stay.',
  },
  role_change_command: {
    kind: 'text',
    default: '',
    max: 1_024,
    reload: true,
    doc: 'Run by the shell on the host of an instance of content -1 that takes up a role, with three arguments: `coordinator`, `standby` or `none`, its host, its port for clients. For moving a virtual address. Nothing waits for it; killed after 30 s. Empty = none.',
  },
  gather_limit: {
    kind: 'bytes',
    unit: 'kB',
    default: 256 * MIB,
    min: MIB,
    max: 2 ** 40,
    reload: true,
    doc: 'Bytes that one statement may copy to the coordinator (gathered plans).',
  },
} as const satisfies Record<string, SettingEntry>

/** A setting's name. */
export type SettingName = keyof typeof settingsCatalog
/** Settings that "reset all" leaves alone: they say who may log in, and nobody wants to be locked out by tidying up. */
export const keptByResetAll: readonly SettingName[] = ['loopback_trust']
/** The values of all settings. */
export type Settings = { readonly [K in SettingName]: Widen<(typeof settingsCatalog)[K]['default']> }
type Widen<T> = T extends boolean ? boolean : T extends number ? number : string

/** Every setting at its default. */
export const defaultSettings: Settings = Object.fromEntries(
  Object.entries(settingsCatalog).map(([name, entry]) => [name, entry.default]),
) as unknown as Settings
