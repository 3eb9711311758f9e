/** SHOW for the settings of ours. */
import { formatSetting, isSettingName, type Settings } from '@mirabelle/messages'

/** The value as SHOW prints it (`5s`, `1GB`, `on`); undefined when the name is not ours. */
export function showSetting(settings: Settings, name: string): string | undefined {
  return isSettingName(name) ? formatSetting(name, settings[name]) : undefined
}
