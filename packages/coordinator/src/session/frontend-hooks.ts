/** What sessions need from the coordinator around them. The coordinator actor plugs these in. */
import type { ActionResult, SettingRow, Settings } from '@mirabelle/messages'
import type { Dispatcher } from '../dispatcher.ts'
import type { Ports } from '@mirabelle/runtime'
import type { SystemSchemaJson } from '../schema/schema-sql.ts'

export interface FrontendHooks {
  /** The cluster's settings now. */
  settings(): Settings
  /** The value of a setting of ours as SHOW prints it; undefined when the name is not ours. */
  showSetting(name: string): string | undefined
  /** All settings of ours, for SHOW ALL. */
  settingRows(): readonly SettingRow[]
  /**
   * ALTER SYSTEM: makes a change durable and tells everyone; a result per other instance. Rejects with `setting.invalid` before anything changes.
   */
  configure(change: Readonly<Record<string, string | null>>): Promise<readonly ActionResult[]>
  /**
   * SQL that brings the live views (`gp_stat_replication`, `gp_segment_status`, `gp_master_mirroring`, `gp_stat_activity`) up to date, run as superuser in front of a
   * query of the coordinator that names one of `relations`; undefined when there is nothing to do.
   */
  refreshLiveViews(relations: readonly string[]): Promise<string | undefined>
  /** Runs an FTS cycle; resolves when its results are recorded. Awaited in front of a statement that calls gp_request_fts_probe_scan(). */
  requestFtsScan(): Promise<void>
  /** The front door cancels what a session runs, or ends it with 57P01; false when it has gone. */
  signal(pid: number, how: 'cancel' | 'terminate'): boolean
}

export interface FrontendOptions {
  readonly dispatcher: Dispatcher
  readonly ports: Ports
  readonly hooks: FrontendHooks
  /** What PostgreSQL brings along, where it was read before there were lanes. */
  readonly systemSchema?: Promise<SystemSchemaJson>
  /** Name of the superuser that initdb made: its sessions need no role switch. */
  readonly superuser: string
}
