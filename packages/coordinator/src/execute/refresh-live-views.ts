/** Brings the live views that a statement reads up to date, just before it runs; whatever kind of plan it has. */
import { queryMessage } from '../lanes/frontend-bytes.ts'
import { NO_SETTINGS } from '../lanes/lane-item.ts'
import { runLocal } from './run-on.ts'
import type { Scope } from './scope.ts'

export async function refreshLiveViews(scope: Scope, names: readonly string[] | undefined): Promise<void> {
  if (names === undefined) return
  const refresh = await scope.services.hooks.refreshLiveViews(names)
  if (refresh === undefined) return
  await runLocal(scope, { bytes: queryMessage(refresh), syncs: 1, settings: NO_SETTINGS, write: true })
}
