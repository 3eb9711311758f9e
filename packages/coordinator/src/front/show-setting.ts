/** SHOW for the settings of ours, and for what is another thing here than in the engine. */
import { COORDINATOR_CONTENT, formatSetting, isSettingName, type Assignment } from '@mirabelle/messages'
import type { Topology } from '../ha/topology.ts'

/** The value as SHOW prints it (`5s`, `1GB`, `on`); undefined when the engine knows it. */
export function showSetting(
  topology: Pick<Topology, 'settings' | 'mirror'>,
  { sqlPort, datadir, dbid, content }: Pick<Assignment, 'sqlPort' | 'datadir' | 'dbid' | 'content'>,
  name: string,
): string | undefined {
  if (isSettingName(name)) return formatSetting(name, topology.settings[name])
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
      return topology.mirror(COORDINATOR_CONTENT) === undefined ? '' : '*'
    default:
      return undefined
  }
}
