/** SHOW for the settings of ours, and for what is another thing here than in the engine. */
import { formatSetting, isSettingName, type Assignment, type Settings } from '@mirabelle/messages'

/** The value as SHOW prints it (`5s`, `1GB`, `on`); undefined when the engine knows it. */
export function showSetting(
  settings: Settings,
  { sqlPort, datadir }: Pick<Assignment, 'sqlPort' | 'datadir'>,
  name: string,
): string | undefined {
  if (isSettingName(name)) return formatSetting(name, settings[name])
  switch (name) {
    case 'port':
      return String(sqlPort)
    case 'data_directory':
      return datadir
    // Greenplum's: clients are let in by the coordinator only.
    case 'gp_role':
      return 'dispatch'
    default:
      return undefined
  }
}
