/** All settings (architecture §7). docs/settings.md is generated from this table. */

export interface SettingEntry {
  readonly kind: 'ms' | 'int' | 'bool' | 'bytes' | 'enum'
  readonly default: number | boolean | string
  readonly min?: number
  readonly max?: number
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
    default: 5_000,
    min: 100,
    max: 3_600_000,
    reload: true,
    doc: 'Time between FTS cycles. FTS also acts on events in between. Greenplum: 60 s.',
  },
  gp_fts_probe_timeout: {
    kind: 'ms',
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
    default: 5_000,
    min: 100,
    max: 3_600_000,
    reload: true,
    doc: 'A walsender gives up after so long without a word from its walreceiver.',
  },
  wal_receiver_timeout: {
    kind: 'ms',
    default: 5_000,
    min: 100,
    max: 3_600_000,
    reload: true,
    doc: 'A walreceiver gives up after so long without a word from its walsender.',
  },
  max_slot_wal_keep_size: {
    kind: 'bytes',
    default: 4096 * MIB,
    min: 16 * MIB,
    max: 2 ** 50,
    reload: true,
    doc: 'WAL kept for a mirror that is away. Beyond it the mirror needs a differential copy.',
  },
  checkpoint_timeout: {
    kind: 'ms',
    default: 5 * MINUTE,
    min: 1_000,
    max: 24 * 60 * MINUTE,
    reload: true,
    doc: 'Longest time between checkpoints of a primary that writes.',
  },
  max_wal_size: {
    kind: 'bytes',
    default: 1024 * MIB,
    min: 8 * MIB,
    max: 2 ** 50,
    reload: true,
    doc: 'A checkpoint is made after so much WAL.',
  },
  mirror_base_refresh_size: {
    kind: 'bytes',
    default: 1024 * MIB,
    min: 0,
    max: 2 ** 50,
    reload: true,
    doc: 'A mirror refreshes its base after so much WAL, which bounds its restart and its WAL on disk. Each refresh compares the whole data directory with the primary’s. 0 = never.',
  },
  statement_timeout: {
    kind: 'ms',
    default: 0,
    min: 0,
    max: 2 ** 31 - 1,
    reload: true,
    doc: 'Cancels a statement that runs longer (57014). 0 = never.',
  },
  lock_timeout: {
    kind: 'ms',
    default: 0,
    min: 0,
    max: 2 ** 31 - 1,
    reload: true,
    doc: 'Longest wait for a lane (55P03). 0 = no limit.',
  },
  idle_in_transaction_session_timeout: {
    kind: 'ms',
    default: MINUTE,
    min: 0,
    max: 2 ** 31 - 1,
    reload: true,
    doc: 'Ends a session that idles in a transaction, since it holds lanes (25P03). 0 = never.',
  },
  failover_timeout: {
    kind: 'ms',
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
  autovacuum: { kind: 'bool', default: true, reload: true, doc: 'Vacuum and analyse when a lane is idle.' },
  loopback_trust: {
    kind: 'bool',
    default: false,
    reload: true,
    doc: 'Clients from loopback addresses need no password. The localhost quick start turns it on.',
  },
  max_connections: {
    kind: 'int',
    default: 200,
    min: 1,
    max: 10_000,
    reload: false,
    doc: 'Client connections of the coordinator.',
  },
  gather_limit: {
    kind: 'bytes',
    default: 256 * MIB,
    min: MIB,
    max: 2 ** 40,
    reload: true,
    doc: 'Bytes that one statement may copy to the coordinator (gathered plans).',
  },
} as const satisfies Record<string, SettingEntry>

/** A setting's name. */
export type SettingName = keyof typeof settingsCatalog
/** The values of all settings. */
export type Settings = { readonly [K in SettingName]: Widen<(typeof settingsCatalog)[K]['default']> }
type Widen<T> = T extends boolean ? boolean : T extends number ? number : string

/** Every setting at its default. */
export const defaultSettings: Settings = Object.fromEntries(
  Object.entries(settingsCatalog).map(([name, entry]) => [name, entry.default]),
) as unknown as Settings

const DURATION: Record<string, number> = { ms: 1, s: 1_000, min: MINUTE, h: 60 * MINUTE, d: 24 * 60 * MINUTE }
const SIZE: Record<string, number> = { B: 1, kB: 1024, MB: MIB, GB: 1024 * MIB, TB: 1024 * 1024 * MIB }

/** Parses the text of a setting (`5s`, `1GB`, `on`). Throws a RangeError that names the setting and its range. */
export function parseSetting(name: SettingName, value: string): number | boolean | string {
  const entry: SettingEntry = settingsCatalog[name]
  if (entry.kind === 'enum') {
    if (entry.values?.includes(value) === true) return value
    throw new RangeError(`invalid value for "${name}": "${value}" (one of ${entry.values?.join(', ')})`)
  }
  if (entry.kind === 'bool') {
    if (/^(on|true|yes|1)$/i.test(value)) return true
    if (/^(off|false|no|0)$/i.test(value)) return false
    throw new RangeError(`invalid value for "${name}": "${value}" (on or off)`)
  }
  const units = entry.kind === 'ms' ? DURATION : entry.kind === 'bytes' ? SIZE : {}
  const match = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$/.exec(value)
  const unit = match?.[2] === '' ? 1 : match === null ? undefined : units[match[2] as string]
  const number = match === null || unit === undefined ? Number.NaN : Math.round(Number(match[1]) * unit)
  if (
    !Number.isSafeInteger(number) ||
    number < (entry.min ?? 0) ||
    number > (entry.max ?? Number.MAX_SAFE_INTEGER)
  ) {
    throw new RangeError(
      `invalid value for "${name}": "${value}" (from ${entry.min} to ${entry.max}, ${entry.kind})`,
    )
  }
  return number
}

/** Defaults overlaid with texts from a catalog; unknown names are ignored. */
export function settingsFrom(texts: Readonly<Record<string, string>>): Settings {
  const values: Record<string, unknown> = { ...defaultSettings }
  for (const name of Object.keys(texts)) {
    if (Object.hasOwn(settingsCatalog, name))
      values[name] = parseSetting(name as SettingName, texts[name] as string)
  }
  return values as unknown as Settings
}
