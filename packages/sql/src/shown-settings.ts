/** Settings whose value the coordinator knows, and an engine does not. */
import { isSettingName } from '@mirabelle/messages'

/** What is not a setting of the cluster, and is another thing here than in an engine. */
export const SHOWN_BESIDES = [
  'data_directory',
  'gp_contentid',
  'gp_dbid',
  'gp_role',
  'port',
  'synchronous_standby_names',
] as const

/** SHOW answers it without asking an engine. */
export function isShownSetting(name: string): boolean {
  return isSettingName(name) || (SHOWN_BESIDES as readonly string[]).includes(name)
}
