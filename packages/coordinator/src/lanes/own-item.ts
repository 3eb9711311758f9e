/** An item of the runtime's own: plain SQL as superuser. */
import { queryMessage } from './frontend-bytes.ts'
import { NO_SETTINGS, type LaneItem } from './lane-item.ts'

export function ownItem(sql: string, write: boolean): LaneItem {
  return {
    bytes: queryMessage(sql),
    syncs: 1,
    settings: NO_SETTINGS,
    bringsSettings: true,
    write,
    whenLost: 'fail',
  }
}
