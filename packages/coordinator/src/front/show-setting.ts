/** SHOW for the settings of ours. */
import { settingsCatalog, type SettingName, type Settings } from '@mirabelle/messages'

/** The value as SHOW prints it (`5s`, `1GB`, `on`); undefined when the name is not ours. */
export function showSetting(settings: Settings, name: string): string | undefined {
  if (!Object.hasOwn(settingsCatalog, name)) return undefined
  const value: number | boolean | string = settings[name as SettingName]
  const { kind } = settingsCatalog[name as SettingName]
  if (typeof value === 'boolean') return value ? 'on' : 'off'
  if (typeof value === 'string' || value === 0) return String(value)
  if (kind === 'ms')
    return withUnit(value, [
      ['d', 86_400_000],
      ['h', 3_600_000],
      ['min', 60_000],
      ['s', 1_000],
      ['ms', 1],
    ])
  if (kind === 'bytes')
    return withUnit(value, [
      ['TB', 2 ** 40],
      ['GB', 2 ** 30],
      ['MB', 2 ** 20],
      ['kB', 1024],
      ['B', 1],
    ])
  return String(value)
}

function withUnit(value: number, units: readonly (readonly [string, number])[]): string {
  for (const [unit, size] of units) if (value % size === 0) return `${value / size}${unit}`
  return String(value)
}
