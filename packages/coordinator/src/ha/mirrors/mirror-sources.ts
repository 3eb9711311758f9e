/** What the work on mirrors needs besides the rest. */
import type { AdminSources } from '../admin-sources.ts'
import type { WorkList } from './work-list.ts'

export interface MirrorSources extends AdminSources {
  readonly work: WorkList
  /** Rows have come or gone: who watches them, and the standby, have to know. */
  readonly rowsChanged: () => void
}
