/** SHOW for the settings of ours, and for what is another thing here than in the engine. */
import { formatSetting, isSettingName, type Assignment, type Settings } from '@mirabelle/messages'

/** The value as SHOW prints it (`5s`, `1GB`, `on`); undefined when the engine knows it. */
export function showSetting(
  settings: Settings,
  { sqlPort, datadir, dbid, content }: Pick<Assignment, 'sqlPort' | 'datadir' | 'dbid' | 'content'>,
  name: string,
  hasStandby: boolean,
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
    case 'gp_dbid':
      return String(dbid)
    case 'gp_contentid':
      return String(content)
    // As Greenplum's: whoever streams from here is the standby.
    case 'synchronous_standby_names':
      return hasStandby ? '*' : ''
    default:
      return undefined
  }
}
