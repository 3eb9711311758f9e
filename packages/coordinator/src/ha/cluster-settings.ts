/**
 * The settings of the cluster at run time (architecture §7): what they are, and how they change. Made by the coordinator service.
 * Promise: a change is refused as a whole or durable in the catalog before any instance hears of it.
 */
import {
  formatSetting,
  isSettingName,
  MirabelleError,
  parseSetting,
  settingRange,
  settingsCatalog,
  type ActionResult,
  type SettingName,
  type SettingRow,
} from '@mirabelle/messages'
import type { FtsProber } from '@mirabelle/fts'
import type { SettingsSpread } from './settings-spread.ts'
import type { Topology } from './topology.ts'

/** Values by name; null = back to the default. */
export type SettingsChange = Readonly<Record<string, string | null>>

export class ClusterSettings {
  readonly #topology: Topology
  readonly #spread: SettingsSpread
  readonly #fts: FtsProber

  constructor(topology: Topology, spread: SettingsSpread, fts: FtsProber) {
    this.#topology = topology
    this.#spread = spread
    this.#fts = fts
  }

  /** All settings by name. */
  rows(): SettingRow[] {
    const { settings, settingTexts } = this.#topology
    return (Object.keys(settingsCatalog) as SettingName[]).sort().map((name) => ({
      name,
      value: formatSetting(name, settings[name]),
      default: formatSetting(name, settingsCatalog[name].default),
      range: settingRange(name),
      source: Object.hasOwn(settingTexts, name) ? 'changed' : 'default',
      reload: settingsCatalog[name].reload,
      description: settingsCatalog[name].doc,
    }))
  }

  /**
   * Makes a change, then tells everyone: a result per other instance. Rejects with `setting.invalid` before anything has changed. Asking again for
   * what is so already tells the instances once more.
   */
  async change(change: SettingsChange): Promise<ActionResult[]> {
    const settings = checkedChange(change)
    if (Object.keys(settings).length === 0) return []
    const { settingTexts } = this.#topology
    const differs = Object.entries(settings).some(([name, text]) => (settingTexts[name] ?? null) !== text)
    if (differs) await this.#topology.change({ settings })
    const results = await this.#spread.spread()
    // The timers of FTS run by the old values: a cycle now sets them anew.
    if (differs) void this.#fts.requestScan().catch(() => undefined) // the prober may not run (yet)
    return results
  }
}

/** The change with each value as SHOW would print it. */
function checkedChange(change: SettingsChange): Record<string, string | null> {
  const checked: Record<string, string | null> = {}
  for (const [name, text] of Object.entries(change)) {
    if (!isSettingName(name))
      throw new MirabelleError(
        'setting.invalid',
        `there is no setting "${name}" of the cluster; "mirabelle config list" shows all. For one of PostgreSQL: ALTER ROLE ALL SET ${name} = …`,
      )
    checked[name] = text === null ? null : normal(name, text)
  }
  return checked
}

function normal(name: SettingName, text: string): string {
  try {
    return formatSetting(name, parseSetting(name, text))
  } catch (error) {
    throw new MirabelleError('setting.invalid', (error as RangeError).message, { cause: error })
  }
}
